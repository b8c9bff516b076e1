"""Which pre-activations stay: the k largest of every token (TopK), or batch · k of the whole batch (BatchTopK)."""

from __future__ import annotations

import torch
from torch import Tensor

from saewidgets.sae.training.gradients import Selection


def top_k(pre: Tensor, k: int) -> Selection:
    """The ``k`` largest of every row of ``pre`` ``[batch, d_sae]`` (Gao et al. 2024, arXiv:2406.04093 §2.3)."""
    batch, d_sae = pre.shape
    cols = pre.topk(k, dim=1, sorted=False).indices.reshape(-1)
    rows = torch.arange(batch, device=pre.device).repeat_interleave(k)
    return Selection(rows, cols, torch.arange(0, batch * k + 1, k, device=pre.device), d_sae)


def batch_top_k(pre: Tensor, k: int, guess: float = 0.0) -> tuple[Selection, float]:
    """The ``batch · k`` largest positive entries of ``pre`` (Bussmann et al. 2024, arXiv:2412.06410 §3).

    Args:
        pre: ``[batch, d_sae]``.
        k: mean number of features a token.
        guess: a value probably below the smallest entry that stays; only entries above it are sorted. A guess that
            is too high is noticed and costs time, never exactness.

    Returns:
        The selection, and its smallest entry.
    """
    batch, d_sae = pre.shape
    flat = pre.reshape(-1)
    wanted = batch * k
    found = (flat > guess).nonzero().squeeze(1)
    if len(found) < wanted and guess > 0:
        found = (flat > 0).nonzero().squeeze(1)
    if len(found) > wanted:
        found = found[flat[found].topk(wanted, sorted=False).indices].sort().values
    rows = found // d_sae
    crow = torch.zeros(batch + 1, dtype=torch.int64, device=pre.device)
    crow[1:] = torch.bincount(rows, minlength=batch).cumsum(0)
    smallest = float(flat[found].min()) if len(found) else 0.0
    return Selection(rows, found - rows * d_sae, crow, d_sae), smallest
