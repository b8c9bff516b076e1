"""A folder or a file given by a user, read without trusting a byte of it."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from saewidgets.sae.formats import npz

MAX_JSON_BYTES = 2 << 20  # parsing takes many times the file's size in memory
SLACK_BYTES = 1 << 20
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")


@dataclass(frozen=True)
class Source:
    """What the user pointed at.

    Attributes:
        folder: where the files are.
        file: the one file given, or "" where a folder was.
        allow_pickle: whether files that torch pickled may be read.
    """

    folder: Path
    file: str = ""
    allow_pickle: bool = False

    @classmethod
    def at(cls, path: str | os.PathLike[str], allow_pickle: bool = False) -> Source:
        """Look at ``path``.

        Raises:
            FileNotFoundError: when there is nothing.
        """
        path = Path(path).expanduser()
        if path.is_dir():
            return cls(path, "", allow_pickle)
        if path.is_file():
            return cls(path.parent, path.name, allow_pickle)
        raise FileNotFoundError(f"there is no file or folder {path}")

    @property
    def path(self) -> Path:
        """What was pointed at."""
        return self.folder / self.file

    def has(self, *names: str) -> bool:
        """Whether all these files are there (for a file: its neighbours count)."""
        return all((self.folder / name).is_file() for name in names)

    def weights(self, *names: str) -> str:
        """The given file, if it is one of ``names``, else the first of ``names`` in the folder, else ""."""
        if self.file:
            return self.file if self.file in names else ""
        return next((name for name in names if self.has(name)), "")

    def json(self, name: str) -> Config:
        """A JSON object.

        Raises:
            FileNotFoundError: when the file is missing.
            ValueError: when it is no JSON object, or over 2 MB.
        """
        path = self.folder / name
        return Config(read_json(path), path)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Every tensor of a safetensors file (or of the files an index names), an npz or an allowed pickle.

        Raises:
            FileNotFoundError: when the file is missing.
            ValueError: when it is damaged, asks for more memory than it may, or is a pickle that was not allowed.
        """
        path = self.folder / name
        if name.endswith(".npz"):
            return npz.read(path)
        if name.endswith(PICKLES):
            return read_pickle(path, self.allow_pickle)
        if name.endswith(".index.json"):
            return self._sharded(name)
        return read_safetensors(path)

    def _sharded(self, name: str) -> dict[str, Tensor]:
        places = self.json(name).mapping("weight_map")
        found: dict[str, Tensor] = {}
        for shard in sorted({str(place) for place in places.values()}):
            if Path(shard).name != shard or not shard.endswith(".safetensors"):
                raise ValueError(
                    f"{self.folder / name} points to {shard!r}: an index may only name safetensors files in its own "
                    "folder"
                )
            found |= read_safetensors(self.folder / shard)
        return found


@dataclass(frozen=True)
class Config:
    """A JSON object whose every entry is checked where it is used.

    Attributes:
        values: the object.
        path: its file, for errors.
    """

    values: dict[str, Any]
    path: Path

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str, default: str = "") -> str:
        """A string; ``default`` where the entry is missing or null."""
        return self._typed(key, default, str, "a string")

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        return self._typed(key, default, bool, "true or false")

    def whole(self, key: str, default: int = 0) -> int:
        """A whole number of 0 or more."""
        value = self._typed(key, default, (int, float), "a whole number")
        if isinstance(value, bool) or value != value or value < 0 or value != int(min(value, 2**63)):
            raise ValueError(f"{key} in {self.path} should be a whole number from 0 up, found {value!r}")
        return int(value)

    def number(self, key: str, default: float = 0.0) -> float:
        """A finite number."""
        value = self._typed(key, default, (int, float), "a number")
        if isinstance(value, bool) or not abs(value) < 1e30:
            raise ValueError(f"{key} in {self.path} should be a finite number, found {value!r}")
        return float(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """An object; empty where missing."""
        return self._typed(key, {}, dict, "an object")

    def inner(self, key: str) -> Config:
        """An object as a `Config` of its own."""
        return Config(self.mapping(key), self.path)

    def _typed(self, key: str, default: Any, kind: Any, what: str) -> Any:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise ValueError(f"{key} in {self.path} should be {what}, found {str(value)[:80]!r}")
        return value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from ``path``, or an error that names the file."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{path} is over {MAX_JSON_BYTES >> 20} MB: that is no config")
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no {path.name} in {path.parent}: is this the folder of an SAE?") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): copy the file again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} should hold a JSON object, found {type(found).__name__}")
    return found


def read_safetensors(path: Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Every tensor of a safetensors file, or an error that names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: is this the folder of an SAE?")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error}): copy it again") from None


def read_pickle(path: Path, allowed: bool) -> dict[str, Tensor]:
    """Every tensor of a file that ``torch.save`` wrote, loaded with ``weights_only=True``, if the user allows it.

    Raises:
        FileNotFoundError: when the file is missing.
        ValueError: when it is not allowed, damaged, of torch before 1.6, or unpacks to far more than its size.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: is this the folder of an SAE?")
    if not allowed:
        raise ValueError(
            f"{path} is a Python pickle, and opening one can run code hidden in it. If you trust where it comes from: "
            f"sw.load_sae({str(path)!r}, allow_pickle=True)"
        )
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged, or was written by torch before 1.6 ({error}): save it again") from None
    if unpacked > size + SLACK_BYTES:
        raise ValueError(f"{path} would unpack to {unpacked} bytes from {size}: torch never writes such a file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, TypeError, KeyError, IndexError,
            AttributeError, EOFError, AssertionError, OverflowError, ImportError, NameError,
            RecursionError) as error:  # fmt: skip
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"{path} is damaged, or holds more than tensors ({reason})") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{path} should hold a dict of tensors, found {type(found).__name__}")
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        _own_bytes(name, tensor, size, path)
    return tensors


def _own_bytes(name: str, tensor: Tensor, size: int, path: Path) -> None:
    """Refuse views that would grow when copied: a stride of 0 makes terabytes of one number."""
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not dense or tensor.numel() * tensor.element_size() > min(size, tensor.untyped_storage().nbytes()):
        raise ValueError(f"{name} in {path} is not a plain tensor with numbers of its own: the file is damaged")
