"""Any object with ``encode``, ``decode`` and ``W_dec``, used as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from saewidgets.sae.activations import ReLU, SparseActs
from saewidgets.sae.autoencoder import ENCODE_CHUNK, SparseAutoencoder, is_finite
from saewidgets.sae.formats.names import hook_name


@dataclass(frozen=True, eq=False, repr=False)
class ForeignSAE(SparseAutoencoder):
    """An SAE of another library: its own ``encode`` and ``decode`` are called, nothing is reimplemented.

    ``W_enc``, ``b_enc`` and ``b_dec`` are empty tensors on no device: only the object knows them.

    Attributes:
        source: the object. ``encode`` gives dense feature_acts ``[n, d_sae]``, or ``(values, indices)`` of the active
            ones as sparsify does; ``decode`` takes what ``encode`` gave.
    """

    source: Any = None

    def __post_init__(self) -> None:
        if self.W_dec.ndim != 2 or not is_finite(self.W_dec):
            raise ValueError(f"W_dec of {type(self.source).__name__} must be a finite [d_sae, d_in] matrix")

    def tensors(self) -> dict[str, Tensor]:
        """The decoder: all that is known."""
        return {"W_dec": self.W_dec}

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the decoder."""
        return self.W_dec.dtype

    @property
    def device(self) -> torch.device:
        """Where the decoder is."""
        return self.W_dec.device

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """The object itself, if it is there already; it is never moved or converted.

        Raises:
            ValueError: when it is on another device or in another dtype.
        """
        wanted = torch.empty(0, device=device) if device is not None else self.W_dec
        if wanted.device != self.device or dtype not in (None, self.dtype):
            raise ValueError(
                f"your {type(self.source).__name__} is on {self.device} in {self.dtype}: move it yourself, "
                "and pass it again"
            )
        return self

    def encode(self, x: Tensor) -> SparseActs:
        """The active features of ``x`` ``[..., d_in]``, as ``(values, indices)`` ``[..., k]``.

        Raises:
            ValueError: when ``x`` has another width, or a feature fires below 0.
        """
        if x.shape[-1] != self.d_in:
            raise ValueError(f"activations are {x.shape[-1]} wide, but this SAE reads d_in={self.d_in}")
        flat = self._centred(x).reshape(-1, self.d_in)
        parts = [self._sparse(self._encoded(part)) for part in flat.split(self._rows)]
        width = max((part.values.shape[1] for part in parts), default=1)
        padded = [[torch.nn.functional.pad(t, (0, width - t.shape[1])) for t in part] for part in parts]
        values, indices = torch.cat([p[0] for p in padded]), torch.cat([p[1] for p in padded])
        return SparseActs(values.reshape(*x.shape[:-1], width), indices.reshape(*x.shape[:-1], width))

    def feature_acts(self, x: Tensor, features: Tensor) -> Tensor:
        """Activations of ``features`` ``[m]`` on ``x`` ``[..., d_in]``: ``[..., m]``; everything is encoded."""
        acts = self.encode(x)
        return torch.stack([acts.feature(int(feature)) for feature in features], dim=-1)

    def decode(self, acts: SparseActs) -> Tensor:
        """What the object's ``decode`` makes of these features, ``[..., d_out]``."""
        pairs = _is_pair(self._encoded(torch.zeros(1, self.d_in, dtype=self.dtype, device=self.device)))
        values, indices = (t.reshape(-1, t.shape[-1]) for t in acts)
        parts = [SparseActs(*part) for part in zip(values.split(self._rows), indices.split(self._rows), strict=True)]
        out = torch.cat([self._decoded(part if pairs else part.dense(self.d_sae)) for part in parts])
        return out.reshape(*acts.values.shape[:-1], self.d_out)

    def reconstruct(self, x: Tensor) -> Tensor:
        """``decode(encode(x))`` in the object's own words, so that normalisation it remembers between the two holds."""
        flat = self._centred(x).reshape(-1, self.d_in)
        parts = [self._decoded(self._encoded(part)) for part in flat.split(self._rows)]
        shift = x.mean(-1, keepdim=True) if self.center_input else 0
        return (torch.cat(parts).reshape(*x.shape[:-1], self.d_out) + shift).to(x.dtype)

    def output_scale(self, x: Tensor) -> Tensor:
        """1: an object's own normalisation cannot be seen."""
        return x.new_ones(*x.shape[:-1], 1)

    def hash(self) -> str:
        """A fingerprint of the decoder and of how the encoder answers a fixed probe."""
        probe = torch.linspace(-3, 3, 4 * self.d_in, dtype=self.dtype, device=self.device).reshape(4, self.d_in)
        values, indices = self.encode(probe)
        digest = hashlib.sha256(f"{type(self.source).__qualname__}{self.center_input}".encode())
        for tensor in (self.W_dec.detach(), values, indices):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def _rows(self) -> int:
        return max(1, ENCODE_CHUNK // self.d_sae)

    def _centred(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        return x - x.mean(-1, keepdim=True) if self.center_input else x

    def _encoded(self, x: Tensor) -> Any:
        with torch.no_grad():
            return self.source.encode(x)

    def _decoded(self, encoded: Any) -> Tensor:
        with torch.no_grad():
            return self.source.decode(*encoded[:2]) if _is_pair(encoded) else self.source.decode(encoded)

    def _sparse(self, found: Any) -> SparseActs:
        dense = SparseActs(found[0], found[1].long()).dense(self.d_sae) if _is_pair(found) else found
        if not isinstance(dense, Tensor) or dense.shape[-1] != self.d_sae:
            raise ValueError(
                f"encode of {type(self.source).__name__} should give [n, {self.d_sae}] feature_acts, or a pair "
                "(values, indices)"
            )
        if (dense < 0).any():
            raise ValueError(f"a feature of {type(self.source).__name__} fires below 0: such SAEs are not supported")
        return ReLU().sparse(dense)


def adapt(source: Any, told: Mapping[str, Any]) -> ForeignSAE:
    """Wrap an object with ``encode``, ``decode`` and ``W_dec`` ``[d_sae, d_in]``; its hook and model are looked up.

    Raises:
        TypeError: when it lacks one of the three.
        ValueError: when it reshapes attention heads itself, or its answers have the wrong shape.
    """
    lacking = [name for name in ("encode", "decode", "W_dec") if not hasattr(source, name)]
    if lacking:
        raise TypeError(
            f"sae must be a path, a hub name, a SparseAutoencoder, a dict of tensors or an object with encode, decode "
            f"and W_dec; {type(source).__name__} lacks {', '.join(lacking)}"
        )
    cfg = getattr(source, "cfg", None)
    if getattr(cfg, "reshape_activations", "none") == "hook_z":
        raise ValueError("this SAE reshapes attention heads itself: save it to a folder and pass the folder")
    W_dec = source.W_dec.detach()
    d_in = int(getattr(source, "d_in", None) or getattr(cfg, "d_in", None) or W_dec.shape[-1])
    nothing = {"device": "meta", "dtype": W_dec.dtype}
    name_out = hook_name(_about(source, "hook_name_out"))
    sae = ForeignSAE(
        torch.empty(d_in, W_dec.shape[0], **nothing),
        torch.empty(W_dec.shape[0], **nothing),
        W_dec,
        torch.empty(W_dec.shape[-1], **nothing),
        ReLU(),
        hook_name=hook_name(_about(source, "hook_name")),
        model_name=_about(source, "model_name"),
        apply_b_dec_to_input=False,
        source=source,
    )
    sae = replace(sae, hook_name_out=name_out)
    sae.encode(torch.zeros(1, d_in, dtype=sae.dtype, device=sae.device))
    return sae


def _about(source: Any, key: str) -> str:
    cfg = getattr(source, "cfg", None)
    for place in (source, getattr(cfg, "metadata", None), cfg):
        value = getattr(place, key, None)
        if isinstance(value, str) and value:
            return value
    return ""


def _is_pair(found: Any) -> bool:
    return isinstance(found, tuple) and len(found) >= 2 and not found[1].is_floating_point()
