"""Gemma Scope 2: ``params.safetensors`` and ``config.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from saewidgets.sae.activations import JumpReLU
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats.names import hook_name
from saewidgets.sae.formats.source import Config, Source
from saewidgets.sae.formats.weights import Weights

NAME = "Gemma Scope 2"
FILES = "params.safetensors, config.json"
SITES = {
    "resid_post": ("hook_resid_post", ""),
    "attn_out": ("attn.hook_z", ""),
    "mlp_out": ("hook_mlp_out", ""),
    "transcoder": ("mlp.hook_in", "hook_mlp_out"),
}


def finds(source: Source) -> bool:
    """Whether this is its weights file."""
    return bool(source.weights("params.safetensors"))


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read one SAE or transcoder for Gemma 3 (as SAELens 6.54's ``gemma_3_sae_huggingface_loader`` does).

    p = x @ w_enc + b_enc, f = relu(p) · (p > threshold), out = f @ w_dec + b_dec (+ x @ affine_skip_connection); b_dec
    is not subtracted from x. Hooks come from ``hf_hook_point_in`` and ``hf_hook_point_out``, else from folder names.

    Raises:
        ValueError: for a cross-layer transcoder (w_dec of three dimensions), another architecture, or damage.
    """
    config = source.json("config.json") if source.has("config.json") else Config({}, source.folder / "config.json")
    if config.text("architecture", "jump_relu") != "jump_relu":
        raise ValueError(f"{config.path} has architecture {config.text('architecture')!r}; known: jump_relu")
    weights = Weights(source.tensors("params.safetensors"), source.folder / "params.safetensors", dtype)
    W_enc = weights.matrix("w_enc")
    name, name_out = _hooks(config, "/".join(source.folder.resolve().parts[-6:]))
    return SparseAutoencoder(
        W_enc,
        weights.vector("b_enc"),
        weights.matrix("w_dec"),
        weights.vector("b_dec"),
        JumpReLU(weights.per_feature("threshold", W_enc.shape[1])),
        hook_name=name,
        hook_name_out=name_out,
        model_name=_model(config.text("model_name")),
        apply_b_dec_to_input=False,
        W_skip=weights.matrix("affine_skip_connection") if "affine_skip_connection" in weights else None,
    )


def _hooks(config: Config, path: str) -> tuple[str, str]:
    name, name_out = config.text("hf_hook_point_in"), config.text("hf_hook_point_out")
    if name:
        name, name_out = hook_name(name), hook_name(name_out)
        return name, "" if name_out == name else name_out
    layer = re.search(r"layer_(\d+)", path)
    site = next((places for folder, places in SITES.items() if folder in path), None)
    if not layer or not site:
        return "", ""
    return f"blocks.{layer[1]}.{site[0]}", f"blocks.{layer[1]}.{site[1]}" if site[1] else ""


def _model(name: str) -> str:
    """The hub's name: the smallest model has no ``-pt`` there."""
    name = name.replace("-v3", "-3")
    name = name if not name or "/" in name else f"google/{name}"
    return name.replace("-pt", "") if "270m" in name else name
