"""The tensors of one file, each checked where it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """Tensors by their names in the file, handed out in the dtype and shape asked for.

    Attributes:
        found: the tensors as stored.
        path: their file, for errors.
        dtype: what to convert to.
    """

    found: dict[str, Tensor]
    path: Path
    dtype: torch.dtype

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def names(self) -> set[str]:
        """What the file holds."""
        return set(self.found)

    def require(self, *names: str) -> None:
        """Name every missing tensor at once.

        Raises:
            ValueError: when one is missing.
        """
        missing = sorted(set(names) - self.names())
        if missing:
            held = ", ".join(sorted(self.found)) or "nothing"
            raise ValueError(f"{self.path} lacks {', '.join(missing)}; it holds {held}")

    def matrix(self, name: str, transposed: bool = False) -> Tensor:
        """A matrix, turned round where the file stores it the other way."""
        tensor = self._floats(name, 2)
        return tensor.T.contiguous() if transposed else tensor

    def vector(self, name: str) -> Tensor:
        """A vector."""
        return self._floats(name, 1)

    def scalar(self, name: str) -> float:
        """One number, stored as a scalar or in a vector of one."""
        tensor = self._tensor(name)
        if tensor.numel() != 1 or tensor.dtype.is_complex:
            raise ValueError(f"{name} in {self.path} should be one number, got shape {tuple(tensor.shape)}")
        return float(tensor)

    def per_feature(self, name: str, d_sae: int) -> Tensor:
        """A vector ``[d_sae]``, stored as such or as one number for all."""
        if self._tensor(name).numel() == 1:
            return torch.full((d_sae,), self.scalar(name), dtype=self.dtype)
        tensor = self.vector(name)
        if len(tensor) != d_sae:
            raise ValueError(f"{name} in {self.path} should have one number for each of {d_sae} features")
        return tensor

    def _floats(self, name: str, ndim: int) -> Tensor:
        tensor = self._tensor(name)
        if not tensor.is_floating_point():
            raise ValueError(f"{name} in {self.path} holds {tensor.dtype}, not floating-point numbers")
        if tensor.ndim != ndim or 0 in tensor.shape:
            what = "a matrix" if ndim == 2 else "a vector"
            raise ValueError(f"{name} in {self.path} should be {what}, got shape {tuple(tensor.shape)}")
        return tensor.to(self.dtype).contiguous()

    def _tensor(self, name: str) -> Tensor:
        self.require(name)
        return self.found[name]
