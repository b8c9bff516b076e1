"""EleutherAI sparsify: a folder a hook with ``cfg.json`` and ``sae.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from saewidgets.sae.activations import GroupMax, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats.names import hook_name, input_of
from saewidgets.sae.formats.source import Source
from saewidgets.sae.formats.weights import Weights

NAME = "sparsify"
FILES = "sae.safetensors, cfg.json"


def finds(source: Source) -> bool:
    """Whether these are sparsify's files."""
    return bool(source.weights("sae.safetensors")) and source.has("cfg.json")


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read one sparse coder (``sparse_coder.py`` and ``fused_encoder.py`` of eai-sparsify 1.3).

    p = relu((x − b_dec) @ encoder.weight.T + encoder.bias), without b_dec where ``transcode`` is set; f keeps the k
    largest p (topk), or the largest of each of k groups (groupmax); out = f @ W_dec + b_dec (+ x @ W_skip.T). W_dec is
    stored ``[d_sae, d_out]``. The folder's name is the hook (``layers.5.mlp``), the folder above may name the model in
    its ``config.json``.

    Raises:
        ValueError: for ``signed`` coders of sparsify before 1.0, whose activations can be negative, and for damage.
    """
    config = source.json("cfg.json")
    if config.flag("signed", False):
        raise ValueError(f"{config.path} is a signed coder: features that fire below 0 are not supported")
    weights = Weights(source.tensors("sae.safetensors"), source.folder / "sae.safetensors", dtype)
    W_enc = weights.matrix("encoder.weight", transposed=True)
    kind, k = config.text("activation", "topk"), config.whole("k")
    if kind not in ("topk", "groupmax"):
        raise ValueError(f"{config.path} has activation {kind!r}; known: topk, groupmax")
    if not 0 < k <= W_enc.shape[1]:
        raise ValueError(f"{config.path} needs a whole number k from 1 to {W_enc.shape[1]} features, got {k}")
    transcode = config.flag("transcode", False)
    name, name_out = _hooks(source, transcode, told)
    return SparseAutoencoder(
        W_enc,
        weights.vector("encoder.bias"),
        weights.matrix("W_dec"),
        weights.vector("b_dec"),
        TopK(k) if kind == "topk" else GroupMax(k),
        hook_name=name,
        hook_name_out=name_out,
        model_name=_model(source),
        apply_b_dec_to_input=not transcode,
        W_skip=weights.matrix("W_skip", transposed=True) if "W_skip" in weights else None,
    )


def _hooks(source: Source, transcode: bool, told: Mapping[str, Any]) -> tuple[str, str]:
    name = hook_name(source.folder.resolve().name)
    name = name if name.startswith(("blocks.", "hook_")) else ""
    if not transcode:
        return name, ""
    if told.get("hook_name") and told.get("hook_name_out"):
        return str(told["hook_name"]), str(told["hook_name_out"])
    if not name:
        raise ValueError(
            f"the folder {source.folder} does not name the module this transcoder stands for: pass both hooks, as in "
            "sw.load_sae(path, hook_name='blocks.5.mlp.hook_in', hook_name_out='blocks.5.mlp.hook_out')"
        )
    return input_of(name), name


def _model(source: Source) -> str:
    above = Source(source.folder.resolve().parent)
    return above.json("config.json").text("model") if above.has("config.json") else ""
