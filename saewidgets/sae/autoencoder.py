"""The sparse autoencoder: residual stream in, a few active features out, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.sae.activations import Activation, GroupMax, JumpReLU, SparseActs

Normalize = Literal["none", "layer_norm", "constant_norm"]
"""What is done to a token before encoding, and undone after decoding; SAELens' formulas, ``sae_lens/saes/sae.py``.

``layer_norm``: (x − mean) / (std + 1e-5), undone by · std + mean, with the unbiased std.
``constant_norm``: x · √d_in / ‖x‖, undone by · ‖x‖ / √d_in.
"""
ENCODE_CHUNK = 1 << 26  # pre-activations held at once (256 MB in fp32), whatever d_sae is


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """A dictionary of features: x ≈ b_dec + Σ f_i · W_dec[i], with f = activation((x − b_dec) @ W_enc + b_enc).

    A transcoder reads x at ``hook_name`` and predicts y at ``hook_name_out``:
    y ≈ b_dec + Σ f_i · W_dec[i] + x @ W_skip.

    Attributes:
        W_enc: ``[d_in, d_sae]``.
        b_enc: ``[d_sae]``.
        W_dec: ``[d_sae, d_out]``, one direction a feature.
        b_dec: ``[d_out]``.
        activation: `TopK`, `ReLU`, `JumpReLU` or `GroupMax`.
        hook_name: where in the model x is read, e.g. ``blocks.15.hook_resid_post``; empty if unknown.
        model_name: the model it was trained on; empty if unknown.
        prepend_bos: whether it was trained on texts that start with BOS.
        apply_b_dec_to_input: whether b_dec is subtracted before encoding.
        center_input: whether the mean over d_in is subtracted first (models processed with
            ``center_writing_weights``).
        normalize: what is then done to each token, and undone on the way back; see `Normalize`.
        hook_name_out: where a transcoder's output belongs; empty for an autoencoder, which writes where it reads.
        W_skip: ``[d_in, d_out]``, the linear path past the features, or None.
        card: measured figures and provenance, kept beside the weights.

    Raises:
        ValueError: when shapes disagree, ``k`` is over ``d_sae``, or a weight is not finite.

    Example:
        >>> sae = SparseAutoencoder(W_enc, b_enc, W_dec, b_dec, activation=TopK(32))
        >>> values, indices = sae.encode(x)
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    activation: Activation
    hook_name: str = ""
    model_name: str = ""
    prepend_bos: bool = True
    apply_b_dec_to_input: bool = True
    center_input: bool = False
    normalize: Normalize = "none"
    hook_name_out: str = ""
    W_skip: Tensor | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.W_enc.ndim != 2 or 0 in self.W_enc.shape:
            raise ValueError(f"W_enc must be a [d_in, d_sae] matrix, got shape {tuple(self.W_enc.shape)}")
        if self.normalize not in get_args(Normalize):
            raise ValueError(f"normalize must be one of {', '.join(get_args(Normalize))}, got {self.normalize!r}")
        d_out = self.W_dec.shape[-1] if self.is_transcoder and self.W_dec.ndim == 2 else self.d_in
        k = getattr(self.activation, "k", 1)
        if k > self.d_sae:
            raise ValueError(f"k is {k}, but there are only {self.d_sae} features")
        if isinstance(self.activation, GroupMax) and self.d_sae % k:
            raise ValueError(f"groupmax needs d_sae to be a multiple of k, got d_sae={self.d_sae} and k={k}")
        expected = {
            "b_enc": (self.d_sae,),
            "W_dec": (self.d_sae, d_out),
            "b_dec": (d_out,),
            "W_skip": (self.d_in, d_out),
        }
        tensors = self.tensors()
        if "threshold" in tensors:
            expected["threshold"] = (self.d_sae,)
        for name, tensor in tensors.items():
            shape = expected.get(name, (self.d_in, self.d_sae))
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, but W_enc {tuple(self.W_enc.shape)} needs {shape}"
                )
        for name, tensor in tensors.items():
            if not is_finite(tensor):
                raise ValueError(f"{name} holds NaN or infinite values: the file is damaged or training diverged")
        if self.apply_b_dec_to_input and d_out != self.d_in:
            raise ValueError(
                f"apply_b_dec_to_input needs inputs as wide as outputs, got {self.d_in} and {d_out}: "
                "pass apply_b_dec_to_input=False"
            )

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.W_enc.shape[1]

    @property
    def d_out(self) -> int:
        """Width of the activations it writes."""
        return self.W_dec.shape[1]

    @property
    def is_transcoder(self) -> bool:
        """Whether it reads at one hook and writes at another."""
        return bool(self.hook_name_out)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return self.W_enc.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.W_enc.device

    def __repr__(self) -> str:
        place = f", hook_name={self.hook_name!r}" if self.hook_name else ""
        place += f", hook_name_out={self.hook_name_out!r}" if self.is_transcoder else ""
        return f"{type(self).__name__}(d_in={self.d_in}, d_sae={self.d_sae}, {self.activation.name}{place})"

    @property
    def summary(self) -> str:
        """A few words for a reader: ``"TopK SAE, 4,096 features"``."""
        return f"{type(self.activation).__name__} SAE, {self.d_sae:,} features"

    def tensors(self) -> dict[str, Tensor]:
        """Every weight by its name."""
        found = {"W_enc": self.W_enc, "b_enc": self.b_enc, "W_dec": self.W_dec, "b_dec": self.b_dec}
        if isinstance(self.activation, JumpReLU):
            found["threshold"] = self.activation.threshold
        if self.W_skip is not None:
            found["W_skip"] = self.W_skip
        return found

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same SAE on another device or in another dtype."""
        moved = {name: t.to(device=device, dtype=dtype) for name, t in self.tensors().items()}
        threshold = moved.pop("threshold", None)
        activation = self.activation if threshold is None else JumpReLU(threshold)
        return replace(self, activation=activation, **moved)

    def encode(self, x: Tensor) -> SparseActs:
        """The active features of activations ``x`` ``[..., d_in]``, as ``(values, indices)`` ``[..., k]``.

        Raises:
            ValueError: when the last dimension of ``x`` is not ``d_in``, or a value is not finite.
        """
        flat = self._input(x)[0].reshape(-1, self.d_in)
        if not torch.isfinite(flat).all():
            raise ValueError(f"the activations hold NaN or infinite values in {self.dtype}: check the model's weights")
        rows = max(1, ENCODE_CHUNK // self.d_sae)
        parts = [self.activation.sparse(self._pre(part)) for part in flat.split(rows)] if len(flat) else []
        values, indices = _stack(parts, flat)
        return SparseActs(
            values.reshape(*x.shape[:-1], values.shape[-1]), indices.reshape(*x.shape[:-1], values.shape[-1])
        )

    def feature_acts(self, x: Tensor, features: Tensor) -> Tensor:
        """Activations of ``features`` ``[m]`` alone on ``x`` ``[..., d_in]``: ``[..., m]``.

        Only their columns are encoded, except where features compete (`TopK`, `GroupMax`).
        """
        if self.activation.competes:
            values, indices = self.encode(x)
            return torch.stack([torch.where(indices == f, values, 0).sum(-1) for f in features], dim=-1)
        pre = self._input(x)[0] @ self.W_enc[:, features] + self.b_enc[features]
        bar = self.activation.threshold[features] if isinstance(self.activation, JumpReLU) else pre.new_zeros(())
        return pre * ((pre > bar) & (pre > 0))

    def decode(self, acts: SparseActs) -> Tensor:
        """b_dec + Σ f_i · W_dec[i], ``[..., d_out]``: normalisation not undone, no skip path."""
        values, indices = acts
        flat = indices.reshape(-1, indices.shape[-1])
        out = F.embedding_bag(
            flat, self.W_dec, per_sample_weights=values.reshape(flat.shape).to(self.dtype), mode="sum"
        )
        return (out + self.b_dec).reshape(*values.shape[:-1], self.d_out)

    def reconstruct(self, x: Tensor) -> Tensor:
        """SAE(x) in the space of ``x`` itself, so that ``x − reconstruct(x)`` is the error term.

        For a transcoder: what it predicts at ``hook_name_out``, ``[..., d_out]``.
        """
        out = self.decode(self.encode(x))
        _, scale, shift = self._input(x)
        if self.W_skip is not None:
            out = out + (x.to(self.dtype) - shift * self.center_input) @ self.W_skip
        return (out if self.is_transcoder else out * scale + shift).to(x.dtype)

    def output_scale(self, x: Tensor) -> Tensor:
        """What a unit of feature_acts · W_dec is worth in the space written to: ``[..., 1]`` for ``x`` ``[..., d_in]``.

        1 unless the SAE normalises its input; then the token's own scale.
        """
        _, scale, _ = self._input(x)
        return torch.ones_like(scale) if self.is_transcoder else scale

    def decoder_norms(self) -> Tensor:
        """‖W_dec[i]‖ of every feature, float32 ``[d_sae]``."""
        return self.W_dec.detach().float().norm(dim=1)

    def hash(self) -> str:
        """A fingerprint (sha256, 16 hex digits) of the weights and of what changes their meaning."""
        digest = hashlib.sha256(repr(self._meaning()).encode())
        for name, tensor in sorted(self.tensors().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def _meaning(self) -> tuple[object, ...]:
        k = getattr(self.activation, "k", None)
        # Named only where they are set: fingerprints of plain SAEs stay what they were.
        more = tuple(setting for setting in (self.normalize, self.is_transcoder) if setting not in ("none", False))
        return (self.activation.name, k, self.apply_b_dec_to_input, self.center_input, *more)

    def _input(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is encoded, and the scale and shift ``[..., 1]`` that lead from its space back to that of ``x``."""
        if x.shape[-1] != self.d_in:
            raise ValueError(
                f"activations are {x.shape[-1]} wide, but this SAE reads d_in={self.d_in}: "
                "it belongs to another model or hook"
            )
        x = x.to(self.dtype)
        shift, scale = x.new_zeros(*x.shape[:-1], 1), x.new_ones(*x.shape[:-1], 1)
        if self.center_input or self.normalize == "layer_norm":
            shift = x.mean(-1, keepdim=True)
            x = x - shift
        if self.normalize == "layer_norm":
            scale = x.std(-1, keepdim=True)
            x = x / (scale + 1e-5)
        elif self.normalize == "constant_norm":
            scale = x.norm(dim=-1, keepdim=True) / self.d_in**0.5
            x = x / scale
        return (x - self.b_dec if self.apply_b_dec_to_input else x), scale, shift

    def _pre(self, x: Tensor) -> Tensor:
        learning = torch.is_grad_enabled() and (x.requires_grad or self.W_enc.requires_grad)
        if x.is_cpu and x.dtype == torch.float32 and not learning:
            # On an AMD machine numpy's OpenBLAS takes 0.6 of the time of torch's MKL for this product.
            out = np.matmul(x.detach().numpy(), self.W_enc.detach().numpy())
            out += self.b_enc.detach().numpy()
            return torch.from_numpy(out)
        return torch.addmm(self.b_enc, x, self.W_enc)


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite, without the copies that `torch.isfinite` makes."""
    return bool(torch.isfinite(torch.stack(torch.aminmax(tensor.detach()))).all())


def _stack(parts: list[SparseActs], like: Tensor) -> SparseActs:
    """Join chunks of rows, padding to the widest."""
    if not parts:
        return SparseActs(like.new_zeros(0, 1), torch.zeros(0, 1, dtype=torch.int64, device=like.device))
    if len(parts) == 1:
        return parts[0]
    width = max(part.values.shape[1] for part in parts)
    padded = [[F.pad(t, (0, width - t.shape[1])) for t in part] for part in parts]
    return SparseActs(torch.cat([p[0] for p in padded]), torch.cat([p[1] for p in padded]))
