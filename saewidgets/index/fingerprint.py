"""What an index belongs to: which SAE, model, tokenizer and hook, and what may differ when it is opened."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder

FORMAT = 1
_ALIKE = 0.05  # relative difference of sampled weights that another number format can explain


def fingerprint(model: LanguageModel, sae: SparseAutoencoder, hook_name: str, prepend_bos: bool) -> dict[str, Any]:
    """Names and hashes that an index records, as JSON."""
    return {
        "format": FORMAT,
        "model": model.name,
        "model_hash": model.hash(),
        "model_dtype": str(model.module.dtype).removeprefix("torch."),
        "tokenizer_hash": tokenizer_hash(model.tokenizer),
        "sae": sae.summary,
        "sae_hash": sae.hash(),
        "sae_dtype": str(sae.dtype).removeprefix("torch."),
        "sae_sample": _weights_sample(sae),
        "d_sae": sae.d_sae,
        "vocab": len(model.tokenizer),
        "hook_name": hook_name,
        "prepend_bos": prepend_bos,
        "versions": {
            "saewidgets": importlib.metadata.version("saewidgets"),
            "torch": torch.__version__,
            "transformers": importlib.metadata.version("transformers"),
        },
    }


def tokenizer_hash(tokenizer: Any) -> str:
    """A fingerprint (sha256, 16 hex digits) of every token and its number, and of BOS."""
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))
    return hashlib.sha256(json.dumps([pieces, tokenizer.bos_token_id]).encode()).hexdigest()[:16]


def require_same(index: Mapping[str, Any], session: Mapping[str, Any], where: str) -> None:
    """Compare an index's fingerprint with a session's.

    Raises:
        ValueError: when SAE, tokenizer, hook or the use of BOS is another; the message names both.

    Warns:
        UserWarning: naming both, when only number formats, quantisation or the model's weights differ.
    """
    if index.get("format") != session["format"]:
        raise ValueError(
            f"the index {where} has format {index.get('format')}, this version reads {session['format']}: scan again"
        )
    for key, what in (("hook_name", "hook"), ("tokenizer_hash", "tokenizer"), ("prepend_bos", "prepend_bos")):
        if index[key] != session[key]:
            raise ValueError(
                f"the index {where} is of another {what}: {index[key]}, but the session has {session[key]}; scan again"
            )
    if index["sae_hash"] != session["sae_hash"] and not _alike(index, session):
        raise ValueError(
            f"the index {where} is of another SAE: {index['sae']} {index['sae_hash']}, but the session has "
            f"{session['sae']} {session['sae_hash']}; scan again"
        )
    for key, what in (("sae", "SAE"), ("model", "model")):
        if index[f"{key}_hash"] != session[f"{key}_hash"]:
            mine, theirs = (f"{f[key]} {f[f'{key}_hash']} ({f[f'{key}_dtype']})" for f in (index, session))
            warnings.warn(
                f"the index {where} was made with the {what} {mine}, this session has {theirs}: activations may "
                "differ a little from those shown",
                stacklevel=3,
            )


def _weights_sample(sae: SparseAutoencoder) -> list[float]:
    """64 spaced decoder weights, rounded: enough to see whether two SAEs differ in more than their number format."""
    flat = sae.W_dec.detach().reshape(-1)
    sample = flat[:: max(1, len(flat) // 64)][:64].float().cpu()
    return [float(f"{value:.4g}") for value in sample]


def _alike(index: Mapping[str, Any], session: Mapping[str, Any]) -> bool:
    if index["d_sae"] != session["d_sae"] or index["sae"] != session["sae"]:
        return False
    mine, theirs = np.array(index["sae_sample"]), np.array(session["sae_sample"])
    return bool(np.linalg.norm(mine - theirs) <= _ALIKE * np.linalg.norm(mine))
