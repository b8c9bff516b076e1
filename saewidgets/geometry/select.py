"""The largest of each row, with a fixed order among equals."""

from __future__ import annotations

import torch
from torch import Tensor

GROUPS = 16  # a wide row is first looked at in this many pieces


def best(found: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest of each row and where they are, on the CPU; ties in order of place."""
    more = min(k + 1, found.shape[1])
    values, at = _largest(found, more)
    # torch.topk leaves the order of equal values open; only rows that have any pay for a full sort.
    tied = (values[:, 1:] == values[:, :-1]).any(1)
    values, at = values[:, :k].clone(), at[:, :k].clone()
    if tied.any():
        full, order = found[tied].sort(dim=1, descending=True, stable=True)
        values[tied], at[tied] = full[:, :k], order[:, :k]
    return values.cpu(), at.cpu()


def _largest(found: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`torch.topk`, on wide rows in two stages: the ``k`` best sets of 16 places, then their places."""
    width = found.shape[1] // GROUPS
    if width < 4 * k:
        return found.topk(k, dim=1)
    sets = found[:, : width * GROUPS].unflatten(1, (GROUPS, width)).amax(1).topk(k, dim=1).indices
    places = [sets + width * group for group in range(GROUPS)]
    rest = torch.arange(width * GROUPS, found.shape[1], device=found.device).expand(len(found), -1)
    at = torch.cat([*places, rest], dim=1)
    values, chosen = found.gather(1, at).topk(k, dim=1)
    return values, at.gather(1, chosen)
