"""Plain tensors: a dict, or a weights file that says nothing about itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saewidgets.sae.activations import Activation, GroupMax, JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats.source import PICKLES, Source
from saewidgets.sae.formats.weights import Weights

NAME = "plain tensors"
FILES = "one file of W_enc, W_dec, b_enc, b_dec, threshold: .safetensors, .npz or .pt"
NAMES = {
    "W_enc": ("W_enc", "w_enc", "encoder.weight"),
    "W_dec": ("W_dec", "w_dec", "decoder.weight"),
    "b_enc": ("b_enc", "encoder.bias"),
    "b_dec": ("b_dec", "decoder.bias", "bias"),
    "threshold": ("threshold",),
}
LINEAR = ("encoder.weight", "decoder.weight")  # torch.nn.Linear keeps [out, in]
ENDINGS = (".safetensors", ".npz", ".safetensors.index.json", *PICKLES)


def finds(source: Source) -> bool:
    """Whether this is one file of weights, or a folder with just one."""
    return _file(source) != ""


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read one file of tensors; see `from_tensors`."""
    file = _file(source)
    return from_tensors(source.tensors(file), dtype, told, source.folder / file)


def from_tensors(
    tensors: Mapping[str, Any], dtype: torch.dtype, told: Mapping[str, Any], path: Path = Path("these tensors")
) -> SparseAutoencoder:
    """An SAE of bare tensors: f = activation((x − b_dec) @ W_enc + b_enc) or without the first b_dec, as told.

    ``encoder.weight`` and ``decoder.weight`` are taken as `torch.nn.Linear` keeps them, ``[out, in]``; the others as
    ``[d_in, d_sae]`` and ``[d_sae, d_in]``. A missing bias is 0. A ``threshold`` means JumpReLU.

    Raises:
        ValueError: when a weight is missing, or nothing says how features are activated or whether b_dec is
            subtracted; the message shows what to pass.
    """
    weights = Weights({name: torch.as_tensor(value) for name, value in tensors.items()}, path, dtype)
    found = {ours: next((name for name in names if name in weights), "") for ours, names in NAMES.items()}
    W_enc = weights.matrix(found["W_enc"] or "W_enc", transposed=found["W_enc"] in LINEAR)
    W_dec = weights.matrix(found["W_dec"] or "W_dec", transposed=found["W_dec"] in LINEAR)
    b_dec = weights.vector(found["b_dec"]) if found["b_dec"] else W_dec.new_zeros(W_dec.shape[1])
    subtract = told.get("apply_b_dec_to_input")
    if subtract is None and not told.get("hook_name_out") and bool(b_dec.any()):
        raise ValueError(
            f"{path} does not say whether b_dec is subtracted before encoding: pass apply_b_dec_to_input=True (usual "
            "for ReLU and TopK) or apply_b_dec_to_input=False (usual for JumpReLU)"
        )
    return SparseAutoencoder(
        W_enc,
        weights.vector(found["b_enc"]) if found["b_enc"] else W_enc.new_zeros(W_enc.shape[1]),
        W_dec,
        b_dec,
        _activation(weights, W_enc, told),
        hook_name_out=str(told.get("hook_name_out") or ""),
        apply_b_dec_to_input=bool(subtract),
    )


def _activation(weights: Weights, W_enc: Tensor, told: Mapping[str, Any]) -> Activation:
    kind = told.get("architecture") or ("topk" if told.get("k") else "jumprelu" if "threshold" in weights else None)
    if kind in ("topk", "groupmax"):
        k = told.get("k") or (int(weights.scalar("k")) if "k" in weights else None)
        if not k:
            raise ValueError(f"{weights.path} does not say how many features fire: pass k=")
        return TopK(k) if kind == "topk" else GroupMax(k)
    if kind == "jumprelu":
        return JumpReLU(weights.per_feature("threshold", W_enc.shape[1]))
    if kind in ("standard", "relu"):
        return ReLU()
    raise ValueError(
        f"{weights.path} does not say how features are activated: pass k= (TopK) or architecture=, one of 'standard' "
        f"(ReLU), 'topk', 'jumprelu', 'groupmax'" + (f"; got {kind!r}" if kind else "")
    )


def _file(source: Source) -> str:
    if source.file:
        return source.file if source.file.endswith(ENDINGS) else ""
    files = sorted(path.name for path in source.folder.iterdir() if path.is_file())
    index = [name for name in files if name.endswith(".safetensors.index.json")]
    known = index or [name for name in files if name.endswith(ENDINGS)]
    return known[0] if len(known) == 1 else ""
