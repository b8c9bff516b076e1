"""Which tokens a feature fires on, against how frequent they are."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from saewidgets.index.selection import Examples, ranks

KEPT = 8  # tokens listed of a feature


def token_statistics(drawn: tuple[Examples, np.ndarray], token_counts: np.ndarray, d_sae: int) -> dict[str, np.ndarray]:
    """Distinctive tokens of every feature.

    A token's share of a feature's whole activation is estimated from the sampled firings, each counted for as many as
    it stands for (Horvitz and Thompson 1952): exact where no bin was larger than its sample, unbiased elsewhere. Tokens
    are ranked by share · log(share / base rate).

    Args:
        drawn: sampled firings, and how many firings each stands for.
        token_counts: int64 ``[vocab]``, how often each token occurs.
        d_sae: number of features.

    Returns:
        ``distinctive`` int32 ``[d_sae, 8]`` (−1: none), ``share`` float16 ``[d_sae, 8]``.
    """
    firings, stands_for = drawn
    base = token_counts / max(int(token_counts.sum()), 1)
    shape = (d_sae, len(token_counts))
    mass = firings.value.astype(np.float64) * stands_for
    distinctive, share = _ranked(_table(firings, mass, shape), base, KEPT)
    return {"distinctive": distinctive, "share": share.astype(np.float16)}


def _table(firings: Examples, weight: np.ndarray, shape: tuple[int, int]) -> scipy.sparse.csr_array:
    """Weight by feature and token."""
    table = scipy.sparse.csr_array(
        scipy.sparse.coo_array((weight, (firings.feature, firings.token)), shape=shape, dtype=np.float64)
    )
    table.sum_duplicates()
    table.eliminate_zeros()
    return table


def _ranked(table: scipy.sparse.csr_array, base: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that tell most of each feature, by number where they tell the same, and their shares."""
    n = len(table.indptr) - 1
    feature = np.repeat(np.arange(n), np.diff(table.indptr))
    token, share = table.indices, table.data / np.bincount(feature, weights=table.data, minlength=n)[feature]
    tells = share * np.log(share / base[token])
    kept = np.flatnonzero(tells > 0)
    order = kept[np.lexsort((token[kept], -tells[kept], feature[kept]))]
    rank = ranks(feature[order])
    order, rank = order[rank < most], rank[rank < most]
    tokens, shares = np.full((n, most), -1, np.int32), np.zeros((n, most))
    tokens[feature[order], rank], shares[feature[order], rank] = token[order], share[order]
    return tokens, shares
