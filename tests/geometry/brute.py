"""The same questions answered the slow way, one pair at a time, in float64 numpy."""

from __future__ import annotations

import numpy as np


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosine of every pair; NaN where one of the two is zero."""
    x = vectors.astype(np.float64)
    out = np.full((len(x), len(x)), np.nan)
    for i in range(len(x)):
        for j in range(len(x)):
            length = np.sqrt((x[i] ** 2).sum()) * np.sqrt((x[j] ** 2).sum())
            if length > 0:
                out[i, j] = (x[i] * x[j]).sum() / length
    return out


def correlations(fires: np.ndarray) -> np.ndarray:
    """Pearson's correlation of every pair of 0/1 columns; NaN where one is constant."""
    n = fires.shape[1]
    out = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(n):
            if 0 < fires[:, i].sum() < len(fires) and 0 < fires[:, j].sum() < len(fires):
                out[i, j] = np.corrcoef(fires[:, i].astype(float), fires[:, j].astype(float))[0, 1]
    return out


def order(similarity: np.ndarray, feature: int) -> list[int]:
    """Every other feature with a similarity, most alike first, ties by number."""
    known = [j for j in range(len(similarity)) if j != feature and not np.isnan(similarity[feature, j])]
    return sorted(known, key=lambda j: (-similarity[feature, j], j))
