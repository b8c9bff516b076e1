"""What a heatmap's browser side receives: the acts of every token, or, for a long text, as much as it paints."""

from __future__ import annotations

from typing import Any

import numpy as np

from saewidgets.records import TokenActs
from saewidgets.widgets.shared.buffers import pack

WHOLE = 5_000
"""Up to this many tokens every activation is sent; beyond it lists and columns are fetched on click."""
TOP = 50


def pack_acts(acts: TokenActs, *, whole: bool | None = None) -> bytes:
    """Everything the first paint needs, and with ``whole`` everything every later one needs.

    Args:
        acts: what to send.
        whole: send every activation; by default when there are at most `WHOLE` tokens.
    """
    whole = len(acts) <= WHOLE if whole is None else whole
    top = top_features(acts, TOP)
    strongest, height = strongest_features(acts)
    arrays = {
        "text": acts.text.astype("<u4"),
        "position": acts.position.astype("<u4"),
        "skipped": acts.skipped.astype("u1"),
        "strongest": feature_numbers(strongest, acts),
        "height": height,
    }
    known = np.concatenate([strongest, np.array([row[0] for row in top], dtype=np.int64)])
    if whole:
        token, place = np.nonzero(acts.values > 0)
        active = acts.indices[token, place]
        arrays["offsets"] = np.searchsorted(token, np.arange(len(acts) + 1)).astype("<u4")
        arrays["indices"] = feature_numbers(active, acts)
        arrays["values"] = acts.values[token, place].astype("<f4")
        known = np.concatenate([known, active])
    known = np.unique(known).astype(np.int64)
    if acts.maximum is not None:
        arrays["known"] = feature_numbers(known, acts)
        arrays["maximum"] = np.asarray(acts.maximum, dtype="<f4")[known]
    meta = {
        "tokens": list(acts.str_tokens),
        "split": {str(i): list(part) for i, part in acts.split.items()},
        "seams": [int(i) for i in acts.seams],
        "scale": acts.scale,
        "d_sae": int(acts.d_sae),
        "whole": whole,
        "top": top,
        "labels": labels_of(known, acts),
        "source": str(acts.provenance),
        "texts": len(acts.texts),
        "prompt": joined_text(acts),
    }
    return pack(meta, arrays)


def pack_column(acts: TokenActs, feature: int) -> bytes:
    """One feature on every token, as the tokens it fires on."""
    column = acts.feature_acts(feature)
    (token,) = np.nonzero(column > 0)
    known = np.array([feature])
    meta = {"feature": feature, "labels": labels_of(known, acts), "maxima": maxima_of(known, acts)}
    return pack(meta, {"token": token.astype("<u4"), "value": column[token].astype("<f4")})


def pack_token(acts: TokenActs, token: int) -> bytes:
    """The features firing on one token, strongest first."""
    active = acts.values[token] > 0
    known = acts.indices[token, active]
    meta = {"token": token, "labels": labels_of(known, acts), "maxima": maxima_of(known, acts)}
    return pack(meta, {"feature": known.astype("<u4"), "value": acts.values[token, active].astype("<f4")})


def strongest_features(acts: TokenActs) -> tuple[np.ndarray, np.ndarray]:
    """The strongest feature of every token and its activation; 0 and 0.0 where none fires."""
    if acts.values.shape[1] == 0:
        return np.zeros(len(acts), np.int64), np.zeros(len(acts), np.float32)
    height = acts.values[:, 0].astype("<f4")
    return np.where(height > 0, acts.indices[:, 0], 0).astype(np.int64), height


def top_features(acts: TokenActs, k: int) -> list[list[Any]]:
    """`TokenActs.top_features` as rows of [feature, activation, token, count], without building its frame."""
    shown = np.where(acts.skipped[:, None], 0, acts.values)
    token, place = np.nonzero(shown > 0)
    feature, value = acts.indices[token, place], shown[token, place]
    # Ties within a feature go to the first token, ties between features to the lower number.
    order = np.lexsort((token, -value, feature))
    features, first, count = np.unique(feature[order], return_index=True, return_counts=True)
    best = order[first]
    rank = np.lexsort((features, -value[best]))[:k]
    return [[int(features[i]), float(value[best[i]]), int(token[best[i]]), int(count[i])] for i in rank]


def feature_numbers(features: np.ndarray, acts: TokenActs) -> np.ndarray:
    """Feature numbers in two bytes where they fit."""
    return features.astype("<u2" if acts.d_sae <= 1 << 16 else "<u4")


def labels_of(features: np.ndarray, acts: TokenActs) -> dict[str, str]:
    """The known labels among ``features``."""
    if not acts.labels:
        return {}
    return {str(f): acts.labels[f] for f in features.tolist() if f in acts.labels}


def maxima_of(features: np.ndarray, acts: TokenActs) -> dict[str, float]:
    """The known maxima of ``features``."""
    if acts.maximum is None:
        return {}
    return {str(f): float(acts.maximum[f]) for f in features.tolist()}


def joined_text(acts: TokenActs) -> str:
    """The texts as one string, blank lines between them."""
    return "\n\n".join(acts.texts)
