"""Labels without a language model: the tokens a feature is strongest on, and how much of its range they cover."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saewidgets.index.index import Index

CHOSEN = 3  # tokens of a label at most
LEAST_SHARE = 0.1  # of the strongest activation, for a token to be in a label
LEAST_HELD_OUT = 3  # examples below which nothing is scored


class Strongest(NamedTuple):
    """What features are strongest on."""

    tokens: np.ndarray
    """int32 ``[d_sae, 3]``, −1: none."""
    scores: np.ndarray
    """float32 ``[d_sae]``, NaN where there are no tokens or too few examples."""


def strongest_tokens(index: Index) -> Strongest:
    """The tokens that tell most of each feature's strongest examples, and their score on other examples.

    A token's share of the activation of the 20 strongest firings, times the logarithm of that share over the token's
    base rate. Weak firings, which are many and on nearly everything, do not enter; they did drown a feature's meaning.
    The score is held out: of the examples drawn from the eleven intervals, those not among the strongest, the share of
    their activation that falls on these tokens.
    """
    rows = index.example_rows()
    base = index.token_counts / max(int(index.token_counts.sum()), 1)
    strong = rows.interval == 0
    pair, inverse = np.unique(
        rows.feature[strong].astype(np.int64) << 32 | rows.token[strong].astype(np.int64), return_inverse=True
    )
    mass = np.bincount(inverse, weights=rows.value[strong])
    feature, token = pair >> 32, pair & 0xFFFFFFFF
    share = mass / np.bincount(feature, weights=mass, minlength=index.d_sae)[feature]
    tells = share * np.log(share / np.maximum(base[token], 1e-12))
    kept = np.flatnonzero((tells > 0) & (share >= LEAST_SHARE))
    order = kept[np.lexsort((token[kept], -tells[kept], feature[kept]))]
    first = np.searchsorted(feature[order], feature[order])
    rank = np.arange(len(order)) - first
    order, rank = order[rank < CHOSEN], rank[rank < CHOSEN]
    tokens = np.full((index.d_sae, CHOSEN), -1, np.int32)
    tokens[feature[order], rank] = token[order]
    among = np.isin(_place(rows.feature, rows.window, rows.position), _place(*(part[strong] for part in rows[2:5])))
    return Strongest(tokens, _scores(index.d_sae, tokens, *(part[~among] for part in (rows[0], rows[1], rows.feature))))


def _place(feature: np.ndarray, window: np.ndarray, position: np.ndarray) -> np.ndarray:
    return np.stack([feature, window, position], 1).astype(np.int64) @ np.array([1 << 40, 1 << 16, 1])


def _scores(d_sae: int, tokens: np.ndarray, token: np.ndarray, value: np.ndarray, feature: np.ndarray) -> np.ndarray:
    hit = (token[:, None] == tokens[feature]).any(1)
    every, hits = (np.bincount(feature, weights=w, minlength=d_sae) for w in (value, value * hit))
    enough = (np.bincount(feature, minlength=d_sae) >= LEAST_HELD_OUT) & (tokens[:, 0] >= 0) & (every > 0)
    return np.where(enough, hits / np.where(every > 0, every, 1), np.nan).astype(np.float32)
