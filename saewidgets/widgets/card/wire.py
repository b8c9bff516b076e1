"""What a card's browser side receives: one feature's card, the list of all features, answers to questions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from saewidgets.records import INTERVALS, Example, FeatureCardData, FeatureList, FeatureStats
from saewidgets.widgets.shared.buffers import pack

Effects = Mapping[int, np.ndarray]
"""Ablation effects already known: number of the example among top and intervals → nats a token."""


def pack_card(data: FeatureCardData, effects: Effects | None = None) -> bytes:
    """One feature's card; tokens as numbers into a vocabulary of its own, activations where they are not 0."""
    meta = {
        **stats_meta(data.stats),
        "scale": data.scale,
        "source": str(data.provenance),
        "notes": list(data.notes),
        "promoted": [[token, number(weight)] for token, weight in data.promoted],
        "suppressed": [[token, number(weight)] for token, weight in data.suppressed],
        "tokens": [[token, number(share), number(base)] for token, share, base in data.tokens],
        "neurons": [[int(neuron), number(value), ""] for neuron, value in data.neurons],
        "coactive": [[int(f), number(value), label] for f, value, label in data.coactive],
        "neighbors": [[int(f), number(value), label] for f, value, label in data.neighbors],
        "top": len(data.top),
        "effects": sorted(effects or {}),
    }
    examples, arrays = example_arrays([*data.top, *data.intervals])
    arrays |= {f"effect {which}": effect.astype("<f4") for which, effect in (effects or {}).items()}
    return pack({**meta, **examples}, arrays)


def pack_example(example: Example, meta: Mapping[str, Any]) -> bytes:
    """One example and whatever says which question it answers."""
    examples, arrays = example_arrays([example])
    return pack({**meta, **examples}, arrays)


def stats_meta(stats: FeatureStats) -> dict[str, Any]:
    """The numbers at the head of a card."""
    return {
        "feature": int(stats.feature),
        "count": int(stats.count),
        "n_tokens": int(stats.n_tokens),
        "density": number(stats.density),
        "maximum": number(stats.maximum),
        "mean": number(stats.mean),
        "histogram": [int(n) for n in stats.histogram],
        "edges": [number(edge) for edge in stats.edges],
        "intervals": INTERVALS,
        "label": stats.label,
        "label_score": number(stats.label_score),
        "label_source": stats.label_source,
    }


def example_arrays(examples: Sequence[Example]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Examples one after another: token numbers of a shared vocabulary, and where the feature fires how strongly."""
    vocabulary: dict[str, int] = {}
    tokens = [vocabulary.setdefault(token, len(vocabulary)) for e in examples for token in e.str_tokens]
    values = joined((e.activations for e in examples), np.float32)
    skipped = joined((skipped_of(e) for e in examples), bool)
    (at,) = np.nonzero(values)
    meta = {
        "vocabulary": list(vocabulary),
        "examples": [
            {
                "size": len(e.str_tokens),
                "position": int(e.position),
                "interval": int(e.interval),
                "source": e.source,
                "split": {str(i): list(part) for i, part in e.split.items()},
                "runs": e.ids is not None,
            }
            for e in examples
        ],
    }
    arrays = {
        "token": np.array(tokens, "<u2" if len(vocabulary) <= 1 << 16 else "<u4"),
        "at": at.astype("<u4"),
        "value": values[at].astype("<f4"),
        "skipped": np.nonzero(skipped)[0].astype("<u4"),
    }
    return meta, arrays


def pack_list(features: FeatureList, only: Sequence[int] | None = None) -> bytes:
    """A few numbers of every feature, or of those named in ``only``."""
    chosen = np.arange(len(features)) if only is None else np.array(only, dtype=np.int64)
    # A line end would part a label in two.
    labels = "\n".join(" ".join(str(features.labels[i]).split()) for i in chosen.tolist())
    arrays = {
        "feature": chosen.astype("<u4"),
        "density": np.asarray(features.density)[chosen].astype("<f4"),
        "maximum": np.asarray(features.maximum)[chosen].astype("<f4"),
        "score": np.asarray(features.label_scores)[chosen].astype("<f4"),
        "labels": np.frombuffer(labels.encode("utf-8", "replace"), np.uint8),
    }
    return pack({"total": len(features)}, arrays)


def pack_page(cards: Mapping[int, bytes], features: bytes) -> bytes:
    """All a saved page needs, each blob as it would have been sent."""
    arrays = {f"card {feature}": np.frombuffer(card, np.uint8) for feature, card in cards.items()}
    return pack({"cards": list(cards)}, {**arrays, "list": np.frombuffer(features, np.uint8)})


def number(value: float) -> float | None:
    """A number as JSON can say it: None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def skipped_of(example: Example) -> np.ndarray:
    """Which tokens take no part in the colour scale."""
    return np.zeros(len(example.str_tokens), bool) if example.skipped is None else np.asarray(example.skipped, bool)


def joined(parts: Iterable[np.ndarray], dtype: Any) -> np.ndarray:
    """Arrays one after another, also where there are none."""
    found = [np.asarray(part, dtype) for part in parts]
    return np.concatenate(found) if found else np.zeros(0, dtype)
