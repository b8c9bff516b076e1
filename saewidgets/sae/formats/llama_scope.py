"""Llama Scope as published in 2024: ``hyperparams.json`` and ``checkpoints/final.safetensors``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from saewidgets.sae.activations import Activation, JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats.names import hook_name
from saewidgets.sae.formats.saelens import unit_decoder
from saewidgets.sae.formats.source import Config, Source
from saewidgets.sae.formats.weights import Weights

NAME = "Llama Scope"
FILES = "hyperparams.json, checkpoints/final.safetensors"
PLACES = ("sae_weights.safetensors", "checkpoints/pruned.safetensors", "checkpoints/final.safetensors")

NORMS = ("none", "inference", "token-wise", "dataset-wise")


def finds(source: Source) -> bool:
    """Whether these are its files."""
    return source.has("hyperparams.json") and any(source.has(place) for place in PLACES)


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read one SAE of He et al. 2024 (arXiv:2410.20526; ``lm_saes/sae.py``, ``from_config`` and ``encode``, Oct. 2024).

    With s = √d_model / the data set's average norm, at the input and output, where ``norm_activation`` is
    ``dataset-wise`` (else 1): encoder.bias /= s_in, decoder.bias /= s_out, decoder.weight *= s_in / s_out. Then, with
    ``sparsity_include_decoder_norm``, decoder vectors are scaled to norm 1 and the encoder with them. Then
    p = x @ E + encoder.bias (x − decoder.bias where ``apply_decoder_bias_to_pre_encoder``), f = p · (p > the one
    threshold), x̂ = f @ D + decoder.bias. ``token-wise`` normalises each token to norm √d_model and back.

    Raises:
        ValueError: for gated linear encoders, ``batch-wise`` normalisation, a negative threshold, and damage.
    """
    config = source.json("hyperparams.json")
    file = next(place for place in PLACES if source.has(place))
    weights = Weights(source.tensors(file), source.folder / file, dtype)
    if config.flag("use_glu_encoder", False):
        raise ValueError(f"{config.path} has use_glu_encoder, which is not supported")
    W_enc = weights.matrix("encoder.weight", transposed=True)
    W_dec, b_enc = weights.matrix("decoder.weight", transposed=True), weights.vector("encoder.bias")
    bias = config.flag("use_decoder_bias", True)
    b_dec = weights.vector("decoder.bias") if bias else W_dec.new_zeros(W_dec.shape[1])
    kind = config.text("norm_activation", "token-wise")
    if kind not in NORMS:
        raise ValueError(f"{config.path} has norm_activation {kind!r}; known: {', '.join(NORMS)}")
    if kind == "dataset-wise":
        scale_in, scale_out = _scale(config, "in"), _scale(config, "out")
        b_enc, b_dec, W_dec = b_enc / scale_in, b_dec / scale_out, W_dec * (scale_in / scale_out)
    if config.flag("sparsity_include_decoder_norm", True) and len(W_dec) == len(b_enc) == W_enc.shape[1]:
        W_enc, b_enc, W_dec = unit_decoder(W_enc, b_enc, W_dec)
    name, name_out = hook_name(config.text("hook_point_in")), hook_name(config.text("hook_point_out"))
    return SparseAutoencoder(
        W_enc,
        b_enc,
        W_dec,
        b_dec,
        _activation(config, W_enc),
        hook_name=name,
        hook_name_out="" if name_out == name else name_out,
        model_name=_model(source),
        apply_b_dec_to_input=bias and config.flag("apply_decoder_bias_to_pre_encoder", True),
        normalize="constant_norm" if kind == "token-wise" else "none",
    )


def _scale(config: Config, side: str) -> float:
    norm = config.inner("dataset_average_activation_norm").number(side)
    if norm <= 0 or not config.whole("d_model"):
        raise ValueError(f"{config.path} needs d_model and a positive dataset_average_activation_norm[{side!r}]")
    return math.sqrt(config.whole("d_model")) / norm


def _activation(config: Config, W_enc: torch.Tensor) -> Activation:
    kind, threshold, d_sae = config.text("act_fn", "relu").lower(), config.number("jump_relu_threshold"), W_enc.shape[1]
    if threshold < 0:
        raise ValueError(f"{config.path} has a negative jump_relu_threshold: features would fire below 0")
    # Published SAEs were trained with topk and are run with the threshold that stands for it.
    if kind == "jumprelu" or (kind == "topk" and threshold > 0):
        return JumpReLU(W_enc.new_full((d_sae,), threshold))
    if kind == "relu":
        return ReLU()
    k = config.whole("top_k", 50)
    if kind != "topk" or not 0 < k <= d_sae:
        raise ValueError(f"{config.path} has act_fn {kind!r} with top_k={k}; known: relu, jumprelu, topk (1 to d_sae)")
    return TopK(k)


def _model(source: Source) -> str:
    if source.has("lm_config.json"):
        return source.json("lm_config.json").text("model_name")
    folder = source.folder.resolve().name
    return "meta-llama/Llama-3.1-8B" if folder.startswith("Llama3_1-8B-Base") else ""
