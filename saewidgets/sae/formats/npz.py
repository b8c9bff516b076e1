"""``.npz`` archives of plain arrays, without numpy's pickles and without unpacking bombs."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

INFLATION = 4  # a real archive of weights hardly compresses at all
SLACK_BYTES = 1 << 20
CHUNK = 1 << 22


def read(path: Path) -> dict[str, Tensor]:
    """Every array of an ``.npz`` as a tensor.

    Raises:
        FileNotFoundError: when the file is missing.
        ValueError: when it is damaged, holds pickled objects, or declares far more bytes than the file has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: is this the folder of an SAE?")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked, size = sum(entry.file_size for entry in entries), path.stat().st_size
            if unpacked > INFLATION * size + SLACK_BYTES:
                raise ValueError(f"it would unpack to {unpacked} bytes from {size}: a zip bomb")
            return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
            OverflowError, TypeError, KeyError, SyntaxError, tokenize.TokenError, RecursionError) as error:  # fmt: skip
        raise ValueError(f"{path} is damaged or not a plain npz archive ({error}): copy it again") from None


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Tensor:
    with archive.open(entry) as file:
        shape, fortran, dtype = _header(file)
        if dtype.hasobject or dtype.kind not in "fiub":
            raise ValueError(f"{entry.filename} holds {dtype}, not numbers")
        wanted = math.prod(shape) * dtype.itemsize
        if not 0 <= wanted <= entry.file_size:
            raise ValueError(f"{entry.filename} declares shape {shape}, more than its {entry.file_size} bytes")
        data = np.empty(wanted, np.uint8)
        for start in range(0, wanted, CHUNK):  # in pieces: what is unpacked is held once, not twice
            piece = file.read(min(CHUNK, wanted - start))
            if len(piece) != min(CHUNK, wanted - start):
                raise ValueError(f"{entry.filename} is shorter than its shape {shape} needs")
            data[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
        if file.read(1):  # reading to the end also checks the archive's checksum
            raise ValueError(f"{entry.filename} is longer than its shape {shape} needs")
    array = data.view(dtype).reshape(shape, order="F" if fortran else "C")
    return torch.from_numpy(np.ascontiguousarray(array.astype(dtype.newbyteorder("="), copy=False)))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"npy version {version} is not supported")
