"""Who is nearest to whom: exact, in chunks, every pair compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from saewidgets.geometry.select import best
from saewidgets.geometry.similarity import ABSENT, Cosine, Similarity, checked
from saewidgets.geometry.steps import Step, silent
from saewidgets.geometry.symmetric import nearest_of_all
from saewidgets.records import NeighborTable

CHUNK = 1 << 24  # similarities held at once (64 MB), however many features there are


@torch.inference_mode()
def nearest(
    similarity: Similarity,
    k: int,
    features: Sequence[int] | np.ndarray | Tensor | None = None,
    step: Step = silent,
) -> NeighborTable:
    """The ``k`` most alike of every feature, or of ``features`` alone, most alike first; a row each.

    Exact; ties go to the lower feature number. The feature itself is left out, its duplicates are not. Where fewer
    than ``k`` others have a direction the rest of the row is −1 at distance NaN, as is all of it for a feature that
    has none itself.

    Args:
        similarity: `Cosine` or `Phi`.
        k: how many neighbours, 1 to n − 1.
        features: whose; all by default.
        step: told how far the work is; see `Step`.

    Raises:
        ValueError: when ``k`` or a feature number is out of range.

    Example:
        >>> nearest(Cosine(W_dec), k=10).frame.columns.tolist()
        ['feature', 'neighbor', 'rank', 'distance']
    """
    if not 1 <= k < similarity.n:
        raise ValueError(f"k must be from 1 to {similarity.n - 1} (there are {similarity.n} features), got {k}")
    if features is None and isinstance(similarity, Cosine) and similarity.vectors.device.type == "cpu":
        values, found = nearest_of_all(similarity.units().numpy(), similarity.present.numpy(), k, step)
        step("neighbours", 1.0)
        return _table(values, found, similarity.present.numpy())
    at = torch.arange(similarity.n) if features is None else checked(similarity, features)
    parts = []
    rows = max(1, CHUNK // similarity.n)
    for start in range(0, len(at), rows):
        step("neighbours", start / len(at))
        parts.append(best(others(similarity, at[start : start + rows]), k))
    step("neighbours", 1.0)
    values, found = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return _table(values, found, similarity.present[at].numpy())


def _table(values: np.ndarray, found: np.ndarray, present: np.ndarray) -> NeighborTable:
    kept = np.isfinite(values) & present[:, None]
    indices = np.where(kept, found, -1).astype(np.int32)
    return NeighborTable(indices, np.where(kept, 1 - values, np.nan).astype(np.float32))


def others(similarity: Similarity, features: Tensor) -> Tensor:
    """Similarity of ``features`` ``[m]`` to every other feature, float32 ``[m, n]``; `ABSENT` to itself."""
    found = similarity.of(features)
    at = features.to(found.device)
    found[torch.arange(len(at), device=found.device), at] = ABSENT
    return found


def ranks(row: Tensor, at: Tensor) -> np.ndarray:
    """Places 1, 2, … of features ``at`` ``[k]`` in one row of `others`, in the order of `nearest`: int32 ``[k]``."""
    row, at = row.cpu(), at.cpu()
    ahead = row[None] > row[at, None]
    tied = (row[None] == row[at, None]) & (torch.arange(len(row))[None] < at[:, None])
    return (1 + (ahead | tied).sum(1)).numpy().astype(np.int32)
