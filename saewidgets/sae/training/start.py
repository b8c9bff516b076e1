"""Where training begins: directions, and how strongly the encoder reads them."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.sae.training.gradients import SparseDecode
from saewidgets.sae.training.select import top_k

Initial = Literal["data", "random"]
ROWS = 1024  # samples that the encoder's length is fitted on
SHARE = 0.5  # of a direction that is a sample's, the rest is random


def initial_directions(d_sae: int, d_in: int, seed: int) -> Tensor:
    """Random unit vectors ``[d_sae, d_in]``."""
    return F.normalize(torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed)))


def towards_samples(directions: Tensor, centred: Tensor, seed: int) -> Tensor:
    """Each of ``directions`` ``[d_sae, d_in]`` turned half way to a sample of ``centred`` ``[n, d_in]``, as unit rows.

    Text repeats itself, so directions that point where activations lie need far fewer steps than random ones, which all
    stand at right angles to them. A sample serves several directions where there are fewer samples.
    """
    order = torch.randperm(len(centred), generator=torch.Generator().manual_seed(seed)).to(centred.device)
    chosen = F.normalize(centred[order[torch.arange(len(directions), device=order.device) % len(order)]])
    return F.normalize(SHARE * chosen + (1 - SHARE) * directions)


def encoder_length(directions: Tensor, centred: Tensor, k: int) -> float:
    """By how much to shorten an encoder of unit ``directions``, so that k features together reconstruct best.

    Directions near the samples overlap: k of them at full length would add up to many times the input.
    """
    x = centred[:ROWS]
    pre = x @ directions.T
    chosen = top_k(pre, k)
    recon = SparseDecode.apply(F.relu(pre[chosen.rows, chosen.cols]), directions, chosen)
    return float((recon * x).sum() / recon.square().sum().clamp_min(1e-12)) or 1.0
