"""Gemma Scope: ``params.npz``; everything else is in the names of its folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from saewidgets.sae.activations import JumpReLU
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats.source import Source
from saewidgets.sae.formats.weights import Weights

NAME = "Gemma Scope"
FILES = "params.npz"
SITES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z", "transcoders": "ln2.hook_normalized"}


def finds(source: Source) -> bool:
    """Whether this is its archive; of an npz of another name nothing is assumed."""
    return bool(source.weights("params.npz"))


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read one SAE or transcoder of Lieberum et al. 2024 (arXiv:2408.05147; formula as in its tutorial notebook).

    p = x @ W_enc + b_enc, f = relu(p) · (p > threshold), x̂ = f @ W_dec + b_dec: b_dec is not subtracted from x.
    Model, layer and site are read from folder names such as ``gemma-scope-2b-pt-res/layer_20/width_16k/…``; where
    they do not say it, `hook_name` and `model_name` stay empty.

    Raises:
        ValueError: when the archive is damaged or is no SAE.
    """
    weights = Weights(source.tensors("params.npz"), source.folder / "params.npz", dtype)
    upper = {"w_enc": "W_enc", "w_dec": "W_dec"}
    weights = Weights({upper.get(name, name): t for name, t in weights.found.items()}, weights.path, dtype)
    name, name_out, model = _place("/".join(source.folder.resolve().parts[-6:]))
    W_enc = weights.matrix("W_enc")
    return SparseAutoencoder(
        W_enc,
        weights.vector("b_enc"),
        weights.matrix("W_dec"),
        weights.vector("b_dec"),
        JumpReLU(weights.per_feature("threshold", W_enc.shape[1])),
        hook_name=name,
        hook_name_out=name_out,
        model_name=model,
        apply_b_dec_to_input=False,
    )


def _place(path: str) -> tuple[str, str, str]:
    """Hook, output hook (of transcoders) and model that folder names tell."""
    release = re.search(r"gemma-scope-(\w+)-(pt|it)-(res|mlp|att|transcoders)", path)
    layer = re.search(r"layer_(\d+)", path)
    if not release:
        return "", "", ""
    model = f"google/gemma-2-{release[1]}" + ("-it" if release[2] == "it" else "")
    if not layer:
        return "", "", model
    output = f"blocks.{layer[1]}.hook_mlp_out" if release[3] == "transcoders" else ""
    return f"blocks.{layer[1]}.{SITES[release[3]]}", output, model
