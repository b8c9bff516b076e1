"""Features by a word: in their label, among the tokens they fire on, or among those they promote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from saewidgets.index.index import Index

if TYPE_CHECKING:
    import pandas as pd

OWN_LABEL, LABEL, FIRES, PROMOTES = 3.0, 1.0, 2.0, 1.0
"""What a full match is worth: in a label set by hand, in an automatic one, and as a token."""
LEAST = 4  # letters a part of a word must have to match


def search(index: Index, words: Mapping[int, str], query: str, k: int = 20) -> pd.DataFrame:
    """The features that match a query best: feature, label, score, why.

    Every word of the query counts: where it is in the label, by the share of a feature's activation that is on the
    word, and by how strongly it is promoted against the most promoted token. Upper and lower case are the same; a token
    that is only the beginning of the word, or the word the beginning of the token, counts half.

    Args:
        index: the corpus index.
        words: token → how it is written, for every token that the index names.
        query: one or several words.
        k: how many features to give at most.

    Raises:
        ValueError: when the query is empty.
    """
    import pandas as pd

    asked = query.casefold().split()
    if not asked:
        raise ValueError("the query is empty: give a word")
    score, why = np.zeros(index.d_sae), [[] for _ in range(index.d_sae)]
    labels = index.labels
    for word in asked:
        _in_labels(index, labels, word, score, why)
        _in_tokens(index, words, word, score, why)
    best = np.lexsort((np.arange(index.d_sae), -score))[:k]
    best = best[score[best] > 0]
    return pd.DataFrame(
        {
            "feature": best,
            "label": pd.Series([labels[f] for f in best], dtype=object),
            "score": score[best],
            "why": pd.Series(["; ".join(dict.fromkeys(why[f])) for f in best], dtype=object),
        }
    )


def _in_labels(index: Index, labels: Sequence[str], word: str, score: np.ndarray, why: list[list[str]]) -> None:
    for feature, label in enumerate(labels):
        if word in label.casefold():
            worth = OWN_LABEL if feature in index.own_labels else LABEL
            whole = word in label.casefold().replace(",", " ").split()
            score[feature] += worth if whole else worth / 2
            why[feature].append("label")


def _in_tokens(index: Index, words: Mapping[int, str], word: str, score: np.ndarray, why: list[list[str]]) -> None:
    table = np.zeros(max(words, default=-1) + 2)  # the last place is for token −1: none
    for token, written in words.items():
        table[token] = _fit(written.casefold(), word)
    tokens, shares = index.distinctive_tokens
    fits = table[tokens]
    score += FIRES * (shares * fits).sum(1)
    for feature, place in zip(*np.nonzero(fits), strict=True):
        share = 100 * shares[feature, place]
        why[feature].append(f"fires on “{words[int(tokens[feature, place])]}” ({share:.0f} %)")
    up, weight = index.meaning("up"), index.meaning("up_weight")
    if up is None or weight is None:
        return
    strength = np.maximum(weight.astype(np.float64), 0)
    fits = table[up] * strength / np.maximum(strength[:, :1], 1e-9)
    score += PROMOTES * fits.sum(1)
    for feature, place in zip(*np.nonzero(fits), strict=True):
        why[feature].append(f"promotes “{words[int(up[feature, place])]}”")


def _fit(written: str, word: str) -> float:
    if written == word:
        return 1.0
    short = min(len(written), len(word))
    return 0.5 if short >= LEAST and (written.startswith(word) or word.startswith(written)) else 0.0
