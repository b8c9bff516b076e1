"""Files of an index: safetensors written whole or not at all, checksums, and opening by memory map."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

MANIFEST = "index.json"
_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip


def write(path: Path, data: bytes) -> None:
    """Put ``data`` into a file that appears whole or not at all.

    Raises:
        OSError: when the disk is full or the folder cannot be written; the message says that nothing was lost.
    """
    with _explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)  # mkstemp makes files that only their owner may read
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of a safetensors file; the same arrays give the same bytes."""
    return save({name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())})


def unpack(buffer: Any) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file's bytes, as views: nothing is copied."""
    data = np.frombuffer(buffer, np.uint8)
    size = int(data[:8].view("<u8")[0])
    header = json.loads(data[8 : 8 + size].tobytes())
    found = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, end = (8 + size + at for at in about["data_offsets"])
            found[name] = data[start:end].view(_DTYPES[about["dtype"]]).reshape(about["shape"])
    return found


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file, read from the disk only where they are used."""
    return unpack(np.memmap(path, np.uint8, mode="r"))


def sha256(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


def write_files(folder: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Write files, then the manifest that names them with their checksums: without it they do not count.

    A manifest already there keeps what ``about`` does not replace.
    """
    listed: dict[str, Any] = {}
    for name, data in files.items():
        write(folder / name, data)
        listed[name] = {"bytes": len(data), "sha256": sha256(data)}
    before = read_manifest(folder) if (folder / MANIFEST).exists() else {}
    manifest = {**before, **about, "files": {**before.get("files", {}), **listed}}
    write(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the index in a folder says about itself.

    Raises:
        FileNotFoundError: when there is no index.
        ValueError: when the manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = " (a scan was begun there: call s.scan with the same texts again)" if shards_in(folder) else ""
        raise FileNotFoundError(f"there is no index in {folder}: no {MANIFEST}{unfinished}")
    try:
        found = json.loads(path.read_bytes())
        return {**found, "files": dict(found["files"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged: delete the folder and scan again") from None


def verify(folder: Path) -> None:
    """Compare every file with its checksum; opening only compares sizes.

    Raises:
        ValueError: when one differs or is missing.
    """
    for name, about in read_manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file() or sha256(path.read_bytes()) != about["sha256"]:
            raise ValueError(f"{path} is damaged or missing: delete the folder and scan again")


def commit_shard(folder: Path, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep one finished shard; its checksum is part of the file's name."""
    data = pack(arrays)
    write(folder / "shards" / f"{number:07d}.{sha256(data)[:16]}.safetensors", data)


def shards_in(folder: Path) -> dict[int, Path]:
    """Finished shards of an unfinished scan, by number."""
    return {int(path.name[:7]): path for path in sorted((folder / "shards").glob("[0-9]*.safetensors"))}


def read_shard(path: Path) -> dict[str, np.ndarray] | None:
    """A finished shard, or None, and the file deleted, where its bytes are not those that were written."""
    data = path.read_bytes()
    if sha256(data)[:16] != path.name.split(".")[1]:
        path.unlink()
        return None
    return unpack(data)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full: free some space",
            errno.EROFS: "the file system is read-only: choose another path",
            errno.EACCES: "no permission to write there: choose another path",
            errno.EPERM: "no permission to write there: choose another path",
            errno.ENOTDIR: "a file of that name is in the way: choose another path",
            errno.EEXIST: "a file of that name is in the way: choose another path",
        }
        if error.errno not in reasons:
            raise
        message = f"cannot write the index into {folder}: {reasons[error.errno]}; finished shards are kept"
        raise OSError(error.errno, message) from error
