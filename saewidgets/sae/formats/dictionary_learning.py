"""dictionary_learning: ``ae.pt`` (a pickle) and ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from saewidgets.sae.activations import JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats.names import hook_name
from saewidgets.sae.formats.saelens import unit_decoder
from saewidgets.sae.formats.source import Config, Source
from saewidgets.sae.formats.weights import Weights

NAME = "dictionary_learning"
FILES = "ae.pt, config.json"
BY_TENSORS = {
    "AutoEncoder": {"bias", "encoder.weight", "encoder.bias", "decoder.weight"},
    "AutoEncoderNew": {"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"},
    "GatedAutoEncoder": {"decoder_bias", "encoder.weight", "decoder.weight", "r_mag", "gate_bias", "mag_bias"},
    "JumpReluAutoEncoder": {"W_enc", "b_enc", "W_dec", "b_dec", "threshold"},
    "MatryoshkaBatchTopKSAE": {"W_enc", "b_enc", "W_dec", "b_dec", "threshold", "k", "group_sizes"},
}
"""Names of the tensors of each class; TopK and BatchTopK have the same, so only the config tells them apart."""
KNOWN = (*BY_TENSORS, "AutoEncoderTopK", "BatchTopKSAE")


def finds(source: Source) -> bool:
    """Whether this is its weights file, as saved or converted to safetensors."""
    return bool(source.weights("ae.pt", "ae.safetensors"))


def read(source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
    """Read one dictionary (``dictionary.py`` and ``trainers/*.py`` of dictionary-learning 0.1).

    With E = encoder.weight.T, D = decoder.weight.T:

    - AutoEncoder: f = relu((x − bias) @ E + encoder.bias), x̂ = f @ D + bias; as in ``from_pretrained``, decoder vectors
      are scaled to norm 1 and f with them;
    - AutoEncoderNew: f = relu(x @ E + encoder.bias), x̂ = f @ D + decoder.bias: nothing is subtracted from x;
    - GatedAutoEncoder: f = (z + gate_bias > 0) · relu(exp(r_mag) · z + mag_bias), z = (x − decoder_bias) @ E; as a
      JumpReLU, see `saelens.read`;
    - JumpReluAutoEncoder: p = x @ W_enc + b_enc, f = relu(p · (p > threshold)): b_dec is not subtracted from x;
    - AutoEncoderTopK: f keeps the k largest of relu((x − b_dec) @ E + encoder.bias); its threshold is not used;
    - BatchTopKSAE, MatryoshkaBatchTopKSAE: f = p · (p > threshold) with p = relu((x − b_dec) @ W_enc + b_enc).

    Raises:
        ValueError: when ``allow_pickle`` is not set, the class is unknown, or the file is damaged.
    """
    file = source.weights("ae.pt", "ae.safetensors")
    weights = Weights(source.tensors(file), source.folder / file, dtype)
    config = source.json("config.json") if source.has("config.json") else Config({}, source.folder / "config.json")
    trainer = config.inner("trainer")
    name = _class(trainer, weights, told)
    site = hook_name(trainer.text("submodule_name"))
    if not site.startswith("blocks.") and "layer" in trainer:
        site = f"blocks.{trainer.whole('layer')}.hook_resid_post"
    return SparseAutoencoder(
        **_tensors(name, weights, trainer),
        hook_name=site,
        model_name=trainer.text("lm_name"),
        apply_b_dec_to_input=name not in ("AutoEncoderNew", "JumpReluAutoEncoder"),
    )


def _class(trainer: Config, weights: Weights, told: Mapping[str, Any]) -> str:
    name = str(told.get("architecture") or trainer.text("dict_class"))
    if not name:
        name = next((known for known, names in BY_TENSORS.items() if weights.names() == names), "")
    if name not in KNOWN:
        raise ValueError(
            f"{trainer.path} does not say which class {weights.path.name} is of: pass architecture=, one of "
            f"{', '.join(KNOWN)}" + (f" (found {name!r})" if name else "")
        )
    return name


def _tensors(name: str, weights: Weights, trainer: Config) -> dict[str, Any]:
    plain = "W_enc" in weights
    W_enc = weights.matrix("W_enc") if plain else weights.matrix("encoder.weight", transposed=True)
    W_dec = weights.matrix("W_dec") if plain else weights.matrix("decoder.weight", transposed=True)
    d_sae = W_enc.shape[1]
    if name == "GatedAutoEncoder":
        gain, b_enc = weights.vector("r_mag").exp(), weights.vector("mag_bias")
        gate = weights.vector("gate_bias")
        if not len(gain) == len(b_enc) == len(gate) == d_sae:
            raise ValueError(f"r_mag, mag_bias and gate_bias in {weights.path} should have one number for each feature")
        found = {"W_enc": W_enc * gain, "b_enc": b_enc, "activation": JumpReLU(b_enc - gate * gain)}
        return found | {"W_dec": W_dec, "b_dec": weights.vector("decoder_bias")}
    b_enc = weights.vector("b_enc" if plain else "encoder.bias")
    bias = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias"}.get(name, "b_dec")
    found = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": weights.vector(bias), "activation": ReLU()}
    if name == "AutoEncoder" and len(b_enc) == len(W_dec) == d_sae:
        norm = W_dec.norm(dim=1)
        if not torch.allclose(norm, torch.ones_like(norm)):
            found["W_enc"], found["b_enc"], found["W_dec"] = unit_decoder(W_enc, b_enc, W_dec)
    if name == "AutoEncoderTopK":
        k = int(weights.scalar("k")) if "k" in weights else trainer.whole("k")
        if not 0 < k <= d_sae:
            raise ValueError(f"{weights.path} needs a k from 1 to {d_sae} features, got {k}")
        found["activation"] = TopK(k)
    elif name in ("JumpReluAutoEncoder", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        found["activation"] = JumpReLU(weights.per_feature("threshold", d_sae))
    return found
