"""Which features' decoder directions lie close together."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from saewidgets.lm.worker import go_on

CHUNK = 1 << 24  # cosines held at once (64 MB), however many features there are


@torch.inference_mode()
def nearest(W_dec: Tensor, stop: threading.Event | None = None) -> tuple[Tensor, Tensor]:
    """Each direction's largest cosine with another one, and whose it is: float32 and int64 ``[d_sae]`` on the CPU.

    Exact, every pair compared; ties go to the lower feature number. A lone feature has neighbour −1 and cosine NaN.
    """
    directions = torch.nn.functional.normalize(W_dec.detach().float(), dim=1)
    n = len(directions)
    if n == 1:
        return torch.full((1,), torch.nan), torch.full((1,), -1)
    cosines, neighbours = [], []
    rows = max(1, CHUNK // n)
    for start in range(0, n, rows):
        go_on(stop)
        found = directions[start : start + rows] @ directions.T
        found.diagonal(start).fill_(-2.0)  # itself does not count
        best = found.max(dim=1)
        cosines.append(best.values.clamp(-1, 1).cpu())
        neighbours.append(best.indices.cpu())
    return torch.cat(cosines), torch.cat(neighbours)
