"""What a feature does for the model's predictions on a text: the whole model with it, and without it."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.steer import checked_feature
from saewidgets.lm.capture import capture, logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sinks import sinks
from saewidgets.lm.worker import go_on
from saewidgets.sae.autoencoder import SparseAutoencoder


@torch.inference_mode()
def ablation_effect(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    ids: np.ndarray,
    feature: int,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """log p(token) with the feature minus without it, in nats, float32 ``[n]``; NaN at position 0.

    The feature is set to 0 over the whole context, the error term kept, and the rest of the model is run (Bricken et
    al. 2023, feature visualizer). Positive: the feature helped to predict the token.

    Args:
        model: the model.
        sae: its SAE.
        hook_name: where the SAE reads.
        ids: token numbers ``[n]`` of one window, BOS included.
        feature: which feature.
        stop: set it to end between the two forward passes.

    Raises:
        ValueError: when there is no such feature, or the window is longer than the model's context.
    """
    if len(ids) > model.context:
        raise ValueError(f"the text has {len(ids)} tokens, the model attends to {model.context}: give a shorter one")
    chosen = torch.tensor([checked_feature(sae, feature)], device=sae.device)
    row = torch.from_numpy(np.asarray(ids, np.int64))[None]
    bare = _log_probs(logits_with(model, row, hook_name, None), row)
    go_on(stop)
    read = capture(model, row, hook_name)
    delta = -_written(sae, read, chosen, first_too=int(ids[0]) != model.tokenizer.bos_token_id)
    without = logits_with(
        model, row, sae.hook_name_out or hook_name, lambda x: x + delta.to(device=x.device, dtype=x.dtype)
    )
    return np.concatenate([[np.nan], (bare - _log_probs(without, row)).numpy()]).astype(np.float32)


def _written(sae: SparseAutoencoder, read: Tensor, chosen: Tensor, first_too: bool) -> Tensor:
    """What a feature adds to the stream, ``[1, pos, d_out]``; nothing on BOS and attention sinks."""
    usual = ~sinks(read[0])
    usual[0] &= first_too
    read = read.to(sae.device)
    written = sae.feature_acts(read, chosen) @ sae.W_dec[chosen] * sae.output_scale(read)
    return written * usual[None, :, None].to(sae.device)


def _log_probs(logits: Tensor, ids: Tensor) -> Tensor:
    """log p of every token but the first, float32 ``[n − 1]``."""
    scores = logits[0, :-1].float().log_softmax(-1)
    return scores.gather(-1, ids[0, 1:, None].to(scores.device))[:, 0].cpu()
