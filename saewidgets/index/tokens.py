"""Which tokens a feature fires on, against how frequent they are."""

from __future__ import annotations

import numpy as np

from saewidgets.index.mass import MassSample
from saewidgets.index.selection import ranks

KEPT = 8  # tokens listed of a feature
LEAST = 3  # firings drawn on a token, for it to be listed: fewer say little of its share


def token_statistics(
    drawn: tuple[MassSample, np.ndarray, np.ndarray], token_counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Distinctive tokens of every feature.

    A token's share is what its firings drawn stand for, over what all of the feature's do: exact where the feature
    fired at most 128 times; elsewhere tokens with fewer than three firings among the 128 are not listed. Tokens are
    ranked by share · log(share / base rate).

    Args:
        drawn: of `saewidgets.index.mass.counted`.
        token_counts: int64 ``[vocab]``, how often each token occurs.

    Returns:
        ``distinctive`` int32 ``[d_sae, 8]`` (−1: none), ``share`` float16 ``[d_sae, 8]``.
    """
    firings, mass, threshold = drawn
    base = token_counts / max(int(token_counts.sum()), 1)
    vocab = len(token_counts)
    pair, inverse, seen = np.unique(
        firings.feature.astype(np.int64) * vocab + firings.token, return_inverse=True, return_counts=True
    )
    feature, token = pair // vocab, pair % vocab
    share = np.bincount(inverse, weights=mass, minlength=len(pair))
    share = share / np.bincount(feature, weights=share, minlength=len(threshold))[feature]
    tells = share * np.log(share / base[token])
    listed = np.flatnonzero((tells > 0) & ((seen >= LEAST) | (threshold[feature] == 0)))
    order = listed[np.lexsort((token[listed], -tells[listed], feature[listed]))]
    rank = ranks(feature[order])
    order, rank = order[rank < KEPT], rank[rank < KEPT]
    distinctive = np.full((len(threshold), KEPT), -1, np.int32)
    shares = np.zeros((len(threshold), KEPT), np.float16)
    distinctive[feature[order], rank], shares[feature[order], rank] = token[order], share[order]
    return {"distinctive": distinctive, "share": shares}
