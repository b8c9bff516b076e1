"""From merged shards to the arrays an index is made of: examples chosen, values quantised, token statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse

from saewidgets.index.corpus import PLACE
from saewidgets.index.mass import counted
from saewidgets.index.merge import Merged
from saewidgets.index.selection import PER_BIN, TOP, Examples, priority, ranks, sampled, strongest
from saewidgets.index.tokens import token_statistics
from saewidgets.records import INTERVALS

PER_INTERVAL = 4  # examples kept of each interval
_VALUE, _RUN = 65_535, 255  # steps of the quantised activations, in shares of the feature's maximum


def interval_of(value: np.ndarray, maximum: np.ndarray) -> np.ndarray:
    """Number of the interval, 1 to 11 from weak to strong, of activations in (0, maximum]; int64."""
    share = value.astype(np.float64) * INTERVALS / maximum.astype(np.float64)
    return np.clip(np.ceil(share), 1, INTERVALS).astype(np.int64)


def chosen(examples: Examples, maximum: np.ndarray, per_interval: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows shown on cards and the interval of each: 0 for the 20 strongest, else 1 to 11.

    Those of an interval are the first by priority among the firings sampled in logarithmic bins, now that the maximum
    is known. Sorted by feature, interval, then strength or priority.
    """
    order, rank = strongest(examples.feature, examples.value)
    top = order[rank < TOP]
    order, rank = sampled(examples.feature, examples.value, examples.key, seed)
    drawn = order[rank < PER_BIN]
    feature = examples.feature[drawn].astype(np.int64)
    group = feature * (INTERVALS + 1) + interval_of(examples.value[drawn], maximum[feature])
    by_group = np.lexsort((examples.key[drawn], priority(examples.key[drawn], seed), group))
    kept = by_group[ranks(group[by_group]) < per_interval]
    rows = np.concatenate([top, drawn[kept]])
    interval = np.concatenate([np.zeros(len(top), np.int64), group[kept] % (INTERVALS + 1)])
    order = np.lexsort((np.arange(len(rows)), interval, examples.feature[rows]))
    return rows[order], interval[order]


def finish(
    merged: Merged,
    windows: Callable[[np.ndarray], list[np.ndarray]],
    per_interval: int = PER_INTERVAL,
    sample_tokens: int | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """File name → arrays, everything an index knows without asking the model again.

    Args:
        merged: every shard.
        windows: gives the token numbers of windows, by their numbers.
        per_interval: examples kept of each interval.
        sample_tokens: tokens kept for co-activation; by default all that were sampled.
    """
    rows, interval = chosen(merged.examples, merged.maximum, per_interval, merged.seed)
    shown = merged.examples.take(rows)
    number, window = np.unique(shown.key >> PLACE, return_inverse=True)
    return {
        "features": _features(merged),
        "examples": _examples(merged, shown, interval, window),
        "windows": _windows(number, windows(number)),
        "sample": _sample(merged, sample_tokens),
        "tokens": {
            "token_counts": merged.token_counts.astype(_smallest(merged.token_counts)),
            **token_statistics(counted(merged.mass, merged.d_sae, merged.seed), merged.token_counts),
        },
    }


def _features(merged: Merged) -> dict[str, np.ndarray]:
    feature, bins = np.nonzero(merged.histogram)
    return {
        "counts": merged.counts,
        "sums": merged.sums,
        "maximum": merged.maximum,
        "histogram_start": np.searchsorted(feature, np.arange(merged.d_sae + 1)).astype(np.int32),
        "histogram_bin": bins.astype(np.uint8),
        "histogram_count": merged.histogram[feature, bins].astype(_smallest(merged.histogram)),
    }


def _examples(merged: Merged, shown: Examples, interval: np.ndarray, window: np.ndarray) -> dict[str, np.ndarray]:
    """Examples, and the activations of each (feature, window) once, however many examples lie in it."""
    features = np.arange(merged.d_sae + 1)
    _, first, run = np.unique((shown.feature.astype(np.int64) << 40) | window, return_index=True, return_inverse=True)
    context = scipy.sparse.csr_array(shown.context[first])
    size = np.diff(context.indptr)
    maximum = merged.maximum.astype(np.float64)
    position = shown.key & ((1 << PLACE) - 1)
    run_start = np.searchsorted(shown.feature[first], features)
    return {
        "start": np.searchsorted(shown.feature, features).astype(np.int32),
        "interval": interval.astype(np.uint8),
        "run": (run - run_start[shown.feature]).astype(np.uint8),
        "position": position.astype(_smallest(position)),
        "value": _quantised(shown.value, maximum[shown.feature], _VALUE).astype(np.uint16),
        "run_start": run_start.astype(np.int32),
        "run_window": window[first].astype(_smallest(window)),
        "run_size": size.astype(_smallest(size)),
        "run_position": context.indices.astype(_smallest(context.indices)),
        "run_value": _quantised(context.data, np.repeat(maximum[shown.feature[first]], size), _RUN).astype(np.uint8),
    }


def _quantised(value: np.ndarray, maximum: np.ndarray, steps: int) -> np.ndarray:
    """Never 0 for what fires."""
    return np.maximum(np.rint(value.astype(np.float64) / maximum * steps), 1)


def dequantised(value: np.ndarray, maximum: float) -> np.ndarray:
    """Native feature_acts, float32, of uint16 values or a window's uint8 values."""
    steps = _VALUE if value.dtype == np.uint16 else _RUN
    return (value.astype(np.float64) * maximum / steps).astype(np.float32)


def _windows(number: np.ndarray, windows: list[np.ndarray]) -> dict[str, np.ndarray]:
    flat = np.concatenate([np.zeros(0, np.int32), *windows])
    return {
        "number": number.astype(np.int64),
        "start": np.cumsum([0, *map(len, windows)]).astype(np.int64),
        "tokens": flat.astype(_smallest(flat)),
    }


def _sample(merged: Merged, most: int | None) -> dict[str, np.ndarray]:
    key = merged.sample.key
    sample = merged.sample.take(np.sort(np.lexsort((key, priority(key, merged.seed)))[:most]))
    active = sample.active
    return {
        "key": sample.key,
        "start": active.indptr.astype(np.int32),
        "feature": active.indices.astype(np.uint16 if merged.d_sae <= 1 << 16 else np.int32),
    }


def _smallest(values: np.ndarray) -> type[np.generic]:
    most = int(values.max()) if values.size else 0
    return next(kind for kind in (np.uint8, np.uint16, np.uint32, np.int64) if most <= np.iinfo(kind).max)
