"""The fuzzy neighbour graph that UMAP lays out."""

from __future__ import annotations

import numpy as np
import scipy.sparse

ROUNDS, TOLERANCE = 64, 1e-5  # of the search for widths, and
LEAST = 1e-3  # the smallest width as a share of the mean distance: all as umap-learn has them


def fuzzy_graph(indices: np.ndarray, distances: np.ndarray) -> scipy.sparse.coo_array:
    """How strongly rows are joined, 0 to 1, float32 ``[n, n]``, symmetric: UMAP's fuzzy union (McInnes 2018, §3.1).

    The nearest neighbour is joined at 1, others less the further they lie beyond it, in widths chosen so that a row's
    strengths sum to log₂ of its neighbours with itself. What umap-learn's ``fuzzy_simplicial_set`` gives, without the
    half minute in which that is compiled.

    Args:
        indices: int ``[n, k]``, every row's neighbours, itself not among them.
        distances: ``[n, k]``, 0 or more.

    Example:
        >>> fuzzy_graph(np.array([[1], [0]]), np.array([[0.2], [0.2]])).toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    n, k = indices.shape
    far = distances.astype(np.float32).astype(np.float64)
    nearest = np.where(far > 0, far, np.inf).min(1)
    nearest[np.isinf(nearest)] = 0.0  # only duplicates
    beyond = (far - nearest[:, None]).clip(0)
    mean = np.where(nearest > 0, far.sum(1), far.sum() / n) / (k + 1)
    widths = np.maximum(_widths(beyond, np.log2(k + 1)), LEAST * mean)
    # A width of 0 is left where all distances are 0: everything is joined.
    strengths = np.exp(-beyond / np.where(widths > 0, widths, 1.0)[:, None]).astype(np.float32)
    rows = np.repeat(np.arange(n), k)
    one_way = scipy.sparse.csr_array((strengths.ravel(), (rows, indices.ravel())), shape=(n, n))
    one_way.eliminate_zeros()
    other_way = one_way.T.tocsr()
    return (one_way + other_way - one_way * other_way).tocoo()


def _widths(beyond: np.ndarray, target: float) -> np.ndarray:
    """The widths at which Σ exp(−beyond / width) is ``target``, a row each, by halving: float64 ``[n]``."""
    low, high, width = np.zeros(len(beyond)), np.full(len(beyond), np.inf), np.ones(len(beyond))
    going = np.arange(len(beyond))
    for _ in range(ROUNDS):
        sums = np.exp(-beyond[going] / width[going, None]).sum(1)
        open_ = np.abs(sums - target) >= TOLERANCE
        going, sums = going[open_], sums[open_]
        if not len(going):
            break
        wide = sums > target
        high[going[wide]] = width[going[wide]]
        low[going[~wide]] = width[going[~wide]]
        ends = high[going]
        width[going] = np.where(np.isinf(ends), 2 * width[going], (low[going] + np.where(np.isinf(ends), 0, ends)) / 2)
    return width
