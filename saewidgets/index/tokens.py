"""Which tokens a feature fires on, against how frequent they are; and how well they predict it on held-out firings."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from saewidgets.index.selection import Examples, priority, ranks

KEPT = 8  # tokens listed of a feature
CHOSEN = 3  # of them at most make its label
LEAST_SHARE = 0.05  # of the feature's activation, for a token to be in a label
LEAST_HELD_OUT = 3  # held-out firings below which nothing is scored


def token_statistics(drawn: tuple[Examples, np.ndarray], token_counts: np.ndarray, d_sae: int) -> dict[str, np.ndarray]:
    """Distinctive tokens of every feature and how well they predict it.

    A token's share of a feature's whole activation is estimated from the sampled firings, each counted for as many as
    it stands for (Horvitz and Thompson 1952): exact where no bin was larger than its sample, unbiased elsewhere. Tokens
    are ranked by share · log(share / base rate).

    The up to three tokens for a label are chosen on the half of the sampled firings with even priority and scored on
    the other half: F1 of recall, their share of the held-out activation, and precision, how often the feature fires
    (held-out estimate) where they occur.

    Args:
        drawn: sampled firings, and how many firings each stands for.
        token_counts: int64 ``[vocab]``, how often each token occurs.
        d_sae: number of features.

    Returns:
        ``distinctive`` int32 ``[d_sae, 8]`` (−1: none), ``share`` float16 ``[d_sae, 8]``, ``label_tokens`` int32
        ``[d_sae, 3]`` (−1: none), ``label_scores`` float32 ``[d_sae]`` (NaN: not measured).
    """
    firings, stands_for = drawn
    base = token_counts / max(int(token_counts.sum()), 1)
    shape = (d_sae, len(token_counts))
    mass = firings.value.astype(np.float64) * stands_for
    distinctive, share = _ranked(_table(firings, mass, shape), base, KEPT, 0.0)
    # Not the low bits: those decided which firings were drawn, among others.
    held_out = (priority(firings.key, seed=1) & np.uint64(1)).astype(bool)
    tokens, _ = _ranked(_table(firings, mass * ~held_out, shape), base, CHOSEN, LEAST_SHARE)
    return {
        "distinctive": distinctive,
        "share": share.astype(np.float16),
        "label_tokens": tokens,
        "label_scores": _scores(firings, mass, stands_for, held_out, tokens, token_counts),
    }


def _table(firings: Examples, weight: np.ndarray, shape: tuple[int, int]) -> scipy.sparse.csr_array:
    """Weight by feature and token."""
    table = scipy.sparse.csr_array(
        scipy.sparse.coo_array((weight, (firings.feature, firings.token)), shape=shape, dtype=np.float64)
    )
    table.sum_duplicates()
    table.eliminate_zeros()
    return table


def _ranked(
    table: scipy.sparse.csr_array, base: np.ndarray, most: int, least_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that tell most of each feature, by number where they tell the same, and their shares."""
    n = len(table.indptr) - 1
    feature = np.repeat(np.arange(n), np.diff(table.indptr))
    token, share = table.indices, table.data / np.bincount(feature, weights=table.data, minlength=n)[feature]
    tells = share * np.log(share / base[token])
    kept = np.flatnonzero((tells > 0) & (share >= least_share))
    order = kept[np.lexsort((token[kept], -tells[kept], feature[kept]))]
    rank = ranks(feature[order])
    order, rank = order[rank < most], rank[rank < most]
    tokens, shares = np.full((n, most), -1, np.int32), np.zeros((n, most))
    tokens[feature[order], rank], shares[feature[order], rank] = token[order], share[order]
    return tokens, shares


def _scores(
    firings: Examples,
    mass: np.ndarray,
    stands_for: np.ndarray,
    held_out: np.ndarray,
    tokens: np.ndarray,
    token_counts: np.ndarray,
) -> np.ndarray:
    n = len(tokens)
    feature, mass, fires = firings.feature[held_out], mass[held_out], stands_for[held_out]
    hit = (firings.token[held_out, None] == tokens[feature]).any(1)
    all_mass, hit_mass = (np.bincount(feature, weights=w, minlength=n) for w in (mass, mass * hit))
    all_fires, hit_fires = (np.bincount(feature, weights=w, minlength=n) for w in (fires, fires * hit))
    both = np.bincount(firings.feature, weights=stands_for, minlength=n)
    occur = np.where(tokens >= 0, token_counts[tokens], 0).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hit_mass / all_mass
        # The held-out half's share of hits, times all firings: halves are seldom of equal weight.
        precision = np.minimum(hit_fires / all_fires * both / occur, 1.0)
        score = np.where(recall + precision > 0, 2 * recall * precision / (recall + precision), 0.0)
    score[(occur == 0) | (np.bincount(feature, minlength=n) < LEAST_HELD_OUT)] = np.nan
    return score.astype(np.float32)
