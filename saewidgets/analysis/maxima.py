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
