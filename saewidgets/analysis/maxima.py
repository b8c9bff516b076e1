"""The largest activation of every feature: the unit of the steering slider."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.sample import token_blocks
from saewidgets.analysis.tokens import sinks
from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import go_on
from saewidgets.sae.autoencoder import SparseAutoencoder

SAMPLE_TOKENS = 20_000
NORM_TOKENS, DENSITY_TOKENS = 1_000, 4_000


def sample_maxima(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    prepend_bos: bool,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """Each feature's largest feature_acts over the built-in sample of about 20k tokens: float32 ``[d_sae]``.

    BOS and attention sinks are left out; a feature that never fired has 0.
    """
    from tqdm.auto import tqdm

    blocks = token_blocks(model, SAMPLE_TOKENS, prepend_bos)
    batches = tqdm(blocks.split(8), desc="feature maxima on the built-in sample", leave=False)
    return maxima((_kept(model, ids, hook_name, prepend_bos, stop) for ids in batches), sae)


@torch.inference_mode()
def maxima(activations: Iterable[Tensor], sae: SparseAutoencoder) -> np.ndarray:
    """Each feature's largest feature_acts over ``[n, d_in]`` tensors: float32 ``[d_sae]``."""
    best = torch.zeros(sae.d_sae)
    for x in activations:
        values, indices = sae.encode(x.to(sae.device))
        best.scatter_reduce_(0, indices.flatten().cpu(), values.flatten().float().cpu(), "amax")
    return best.numpy()


def _kept(model: LanguageModel, ids: Tensor, hook_name: str, prepend_bos: bool, stop: threading.Event | None) -> Tensor:
    go_on(stop)
    x = capture(model, ids, hook_name)
    keep = ~torch.stack([sinks(row) for row in x])
    keep[:, 0] &= not (prepend_bos and model.tokenizer.bos_token_id is not None)
    return x[keep]


@torch.inference_mode()
def median_norm(model: LanguageModel, hook_name: str, prepend_bos: bool, stop: threading.Event | None = None) -> float:
    """Median norm of the activations at a hook over 1k tokens of the built-in sample: the unit of `add`.

    BOS and attention sinks are left out.
    """
    blocks = token_blocks(model, NORM_TOKENS, prepend_bos)
    kept = [_kept(model, ids, hook_name, prepend_bos, stop).float().norm(dim=-1) for ids in blocks.split(8)]
    return float(torch.cat(kept).median())


@torch.inference_mode()
def sample_density(
    model: LanguageModel, sae: SparseAutoencoder, hook_name: str, prepend_bos: bool, stop: threading.Event | None = None
) -> np.ndarray:
    """Share of tokens each feature fires on over 4k tokens of the built-in sample, float64 ``[d_sae]``.

    Enough to find a feature about as frequent as another; rarer ones than 1 in 4k read 0.
    """
    counts, n = torch.zeros(sae.d_sae, dtype=torch.int64), 0
    for ids in token_blocks(model, DENSITY_TOKENS, prepend_bos).split(8):
        x = _kept(model, ids, hook_name, prepend_bos, stop)
        values, indices = sae.encode(x.to(sae.device))
        counts += torch.bincount(indices[values > 0].cpu(), minlength=sae.d_sae)
        n += len(x)
    return (counts / max(n, 1)).double().numpy()
