"""SAELens: ``cfg.json`` and ``sae_weights.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from saewidgets.sae.activations import Activation, GroupMax, JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import Normalize, SparseAutoencoder
from saewidgets.sae.formats.names import hook_name, is_residual
from saewidgets.sae.formats.source import Config, Source
from saewidgets.sae.formats.weights import Weights

NAME = "SAELens"
FILES = "sae_weights.safetensors, cfg.json"
WEIGHTS, CONFIG, CARD = "sae_weights.safetensors", "cfg.json", "card.json"
RELU = ("standard", "transcoder", "skip_transcoder")
JUMPRELU = ("jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder")
OURS = ("groupmax", "topk_transcoder", "topk_skip_transcoder", "groupmax_transcoder", "groupmax_skip_transcoder")
"""What `files.save` writes and SAELens has no name for."""
KNOWN = (*RELU, *JUMPRELU, "gated", "topk", *OURS)
NORMALIZE: dict[str, Normalize] = {
    "none": "none",
    "expected_average_only_in": "none",  # folded into the weights when training ends
    "covariance_whitening": "none",  # likewise
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm",
}


def finds(source: Source) -> bool:
    """Whether these are SAELens' files."""
    return bool(source.weights(WEIGHTS)) and source.has(CONFIG)


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read what SAELens 2 to 6 saves (``sae_lens/saes/*.py`` of 6.54; config renames as its ``handle_pre_6_0_config``).

    With z = norm_in(x) − b_dec · apply_b_dec_to_input, p = z @ W_enc + b_enc and f the feature_acts:

    - standard: f = relu(p); jumprelu (BatchTopK and Matryoshka are saved as it): f = relu(p) · (p > threshold);
    - topk: f = relu(p) of the k largest p; with ``rescale_acts_by_decoder_norm``, p is first multiplied by ‖W_dec‖
      and W_dec divided by it, here once and for all in the weights;
    - gated: f = relu(z @ (W_enc · exp(r_mag)) + b_mag) · (z @ W_enc + b_gate > 0), which is the JumpReLU with
      W_enc · exp(r_mag), b_mag and threshold b_mag − b_gate · exp(r_mag) (Rajamanoharan et al. 2024, arXiv:2404.16014,
      §3.2);
    - x̂ = norm_out(f @ W_dec + b_dec); transcoders: ŷ = f @ W_dec + b_dec (+ x @ W_skip.T), no b_dec at the input.

    ``norm_in`` is in `Normalize`; ``expected_average_only_in`` and ``covariance_whitening`` do nothing at inference.
    ``hook_z`` is flattened over heads. ``model_from_pretrained_kwargs`` with ``center_writing_weights`` centres x.

    Raises:
        ValueError: for an architecture whose activations can be negative or that needs more than one token
            (abstopk, temporal, matching_pursuit), a single attention head, and anything malformed.
    """
    config = source.json(CONFIG)
    weights = Weights(source.tensors(source.weights(WEIGHTS)), source.folder / WEIGHTS, dtype)
    architecture = _architecture(config)
    about = _about(config)
    if about.values.get("hook_head_index") is not None:
        raise ValueError(f"{config.path} is of a single attention head (hook_head_index): not supported")
    transcoder = architecture.endswith("transcoder")
    name_out = hook_name(str(told.get("hook_name_out") or about.text("hook_name_out"))) if transcoder else ""
    if transcoder and not name_out:
        raise ValueError(
            f"{config.path} does not say where this transcoder writes: pass hook_name_out=, as in "
            "sw.load_sae(path, hook_name_out='blocks.5.hook_mlp_out')"
        )
    name = hook_name(about.text("hook_name") or about.text("hook_point"))
    kwargs = about.inner("model_from_pretrained_kwargs")
    return SparseAutoencoder(
        **_tensors(architecture, config, weights),
        hook_name=name,
        hook_name_out=name_out,
        model_name=about.text("model_name"),
        prepend_bos=about.flag("prepend_bos", True),
        apply_b_dec_to_input=not transcoder and config.flag("apply_b_dec_to_input", True),
        center_input=about.flag("center_input", kwargs.flag("center_writing_weights", False) and is_residual(name)),
        normalize=_normalize(config),
        card=source.json(CARD).values if source.has(CARD) else {},
    )


def _architecture(config: Config) -> str:
    old = "sae_lens_version" not in config.inner("metadata")
    name = config.text("architecture", "standard" if old else "")
    activation = config.text("activation_fn", config.text("activation_fn_str", "relu"))
    if activation in ("topk", "topk_relu") and name == "standard":
        name = "topk"
    elif activation not in ("relu", "topk"):
        raise ValueError(f"{config.path} has activation_fn {activation!r}, which SAELens 6 no longer knows either")
    if name not in KNOWN:
        raise ValueError(f"{config.path} names an unknown architecture {name!r}; known: {', '.join(KNOWN)}")
    return name


def _about(config: Config) -> Config:
    """Where the model and hook are named: inside ``metadata`` since 6.0, beside everything else before."""
    if config.text("reshape_activations", "none") not in ("none", "hook_z"):
        raise ValueError(f"{config.path} has reshape_activations {config.text('reshape_activations')!r}; known: hook_z")
    return Config(config.values | config.mapping("metadata"), config.path)


def _normalize(config: Config) -> Normalize:
    given = config.values.get("normalize_activations")
    name = "none" if given is None or isinstance(given, bool) else config.text("normalize_activations")
    if name not in NORMALIZE:
        raise ValueError(f"{config.path} has normalize_activations {name!r}; known: {', '.join(NORMALIZE)}")
    return NORMALIZE[name]


def _tensors(architecture: str, config: Config, weights: Weights) -> dict[str, Any]:
    weights.require("W_enc", "W_dec", "b_dec", *(() if architecture == "gated" else ("b_enc",)))
    W_enc, W_dec, b_dec = weights.matrix("W_enc"), weights.matrix("W_dec"), weights.vector("b_dec")
    d_sae = W_enc.shape[1]
    if config.whole("d_sae", d_sae) != d_sae or config.whole("d_in", len(W_enc)) != len(W_enc):
        raise ValueError(f"{config.path} and {weights.path} disagree about d_in or d_sae: they are of different SAEs")
    if len(W_dec) != d_sae:
        raise ValueError(f"W_dec in {weights.path} has {len(W_dec)} features, but W_enc has {d_sae}")
    activation: Activation = ReLU()
    if architecture == "gated":
        gain = weights.vector("r_mag").exp()
        b_enc = weights.vector("b_mag")
        if not len(gain) == len(b_enc) == len(weights.vector("b_gate")) == d_sae:
            raise ValueError(f"r_mag, b_mag and b_gate in {weights.path} should have one number for each feature")
        W_enc, activation = W_enc * gain, JumpReLU(b_enc - weights.vector("b_gate") * gain)
        return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, "activation": activation}
    b_enc = weights.vector("b_enc")
    if architecture in JUMPRELU:
        activation = JumpReLU(weights.vector("threshold"))
    elif architecture.startswith(("topk", "groupmax")):
        k = config.whole("k") or config.inner("activation_fn_kwargs").whole("k")
        if not 0 < k <= d_sae:
            raise ValueError(f"{config.path} needs a whole number k from 1 to d_sae={d_sae}, got {k}")
        activation = TopK(k) if architecture.startswith("topk") else GroupMax(k)
    W_dec = W_dec * _finetuned(weights, d_sae).unsqueeze(1)
    if config.flag("rescale_acts_by_decoder_norm", False) and len(b_enc) == d_sae:
        W_enc, b_enc, W_dec = unit_decoder(W_enc, b_enc, W_dec)
    skip = weights.matrix("W_skip", transposed=True) if "W_skip" in weights else None
    return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, "activation": activation, "W_skip": skip}


def _finetuned(weights: Weights, d_sae: int) -> Tensor:
    """Multipliers of the feature_acts before decoding, saved up to SAELens 5 (``apply_finetuning_scaling_factor``)."""
    name = next((n for n in ("finetuning_scaling_factor", "scaling_factor") if n in weights), "")
    return weights.per_feature(name, d_sae) if name else torch.ones(d_sae, dtype=weights.dtype)


def unit_decoder(W_enc: Tensor, b_enc: Tensor, W_dec: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same reconstructions from decoder vectors of norm 1; feature_acts are multiplied by ‖W_dec‖."""
    norm = W_dec.norm(dim=1)
    return W_enc * norm, b_enc * norm, W_dec / norm.clamp_min(1e-30).unsqueeze(1)
