"""An index computed the slow way: two passes, dictionaries and sorted lists; written apart from the package."""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np

MASK = (1 << 64) - 1


def splitmix(key: int, seed: int = 0) -> int:
    z = (key + 0x9E3779B97F4A7C15 * (2 * seed + 1)) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


EDGES = [(1 + quarter / 4) * 2.0**exponent for exponent in range(-12, 20) for quarter in range(4)]


def log_bin(value: float) -> int:
    return max(bisect.bisect_right(EDGES, value) - 1, 0)


def index(
    tokens: dict[int, int],
    firings: dict[int, dict[int, float]],
    shown: dict[int, bool],
    d_sae: int,
    per_interval: int,
    sample: int,
) -> list[dict[str, Any]]:
    """Everything about every feature, from {key: token}, {feature: {key: value}} and {window: shown}."""
    found = []
    for feature in range(d_sae):
        fires = firings.get(feature, {})
        usable = {key: value for key, value in fires.items() if shown[key >> 16]}
        maximum = max(fires.values(), default=0.0)
        strongest = sorted(usable, key=lambda key: (-usable[key], key))[:20]
        by_bin = defaultdict(list)
        for key in sorted(usable, key=lambda key: (splitmix(key), key)):
            by_bin[log_bin(usable[key])].append(key)
        drawn = [key for keys in by_bin.values() for key in keys[:5]]
        by_interval = defaultdict(list)
        for key in sorted(drawn, key=lambda key: (splitmix(key), key)):
            by_interval[min(max(math.ceil(usable[key] * 11 / maximum), 1), 11)].append(key)
        found.append(
            {
                "count": len(fires),
                "maximum": maximum,
                "sum": math.fsum(fires.values()),
                "histogram": Counter(log_bin(value) for value in fires.values()),
                "top": strongest,
                "intervals": {number: keys[:per_interval] for number, keys in sorted(by_interval.items())},
                "acts": {
                    key: {k & 0xFFFF: v for k, v in fires.items() if k >> 16 == key >> 16}
                    for key in {*strongest, *drawn}
                },
            }
        )
    sampled = sorted(sorted(tokens, key=lambda key: (splitmix(key), key))[:sample])
    return [*found, {"sample": sampled, "token_counts": Counter(tokens.values())}]


def quotient(feature: int, key: int, value: float, seed: int = 0) -> float:
    u = ((splitmix(key, seed) * (splitmix(feature, seed) | 1) & MASK) >> 11) + 1
    return float(np.float32(value * 2.0**53 / u))


def by_mass(quotients: dict[int, float], values: dict[int, float], most: int = 128) -> tuple[dict[int, float], float]:
    """What the firings that count stand for, {key: activation}, and the threshold."""
    order = sorted(quotients, key=lambda key: (-quotients[key], key))
    threshold = quotients[order[most]] if len(order) > most else 0.0
    return {key: max(values[key], threshold) for key in order[:most]}, threshold


def shares(stands_for: dict[int, float], threshold: float, tokens: dict[int, int]) -> dict[int, float]:
    """Share of a feature's activation on every token that may be listed."""
    mass: dict[int, list[float]] = defaultdict(list)
    for key, activation in stands_for.items():
        mass[tokens[key]].append(activation)
    whole = math.fsum(stands_for.values())
    return {t: math.fsum(each) / whole for t, each in mass.items() if threshold == 0 or len(each) >= 3}


def as_dicts(keys: np.ndarray, dense: np.ndarray) -> dict[int, dict[int, float]]:
    """{feature: {key: value}} of a dense matrix."""
    return {
        feature: {int(keys[row]): float(dense[row, feature]) for row in np.flatnonzero(dense[:, feature] > 0)}
        for feature in range(dense.shape[1])
    }
