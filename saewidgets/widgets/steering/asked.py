"""What may be asked of the panel, read and checked at its door."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from saewidgets.records import Intervention, Kind, as_interventions
from saewidgets.widgets.steering.protocol import KINDS, PLACES, Settings

LIMITS = {"clamp": (-10.0, 10.0), "at_least": (0.0, 10.0), "add": (-1.0, 1.0)}
"""Beyond ten maxima, or one residual norm, a model writes nothing but noise (Anthropic 2024 stops at ±10)."""

STARTS = {"clamp": 4.0, "at_least": 4.0, "add": 0.3}
"""Where a slider waits while it is off: strengths at which a feature usually shows and the text still reads."""

SWEEPS = {
    "clamp": (-10.0, -6.0, -3.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0),
    "at_least": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 8.0, 9.0, 10.0),
    "add": (-1.0, -0.7, -0.5, -0.4, -0.3, -0.2, -0.1, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0),
}
"""Seventeen strengths a sweep, closer together where the effect sets in."""

MOST = 8
DEFAULTS = Settings(where="both", max_new_tokens=60, temperature=0.0, top_p=1.0, seed=0, chat=None)


def read_strengths(given: Any) -> tuple[dict[int, float | None], Kind]:
    """Strengths and their kind from ``{feature: strength}`` or interventions of one kind.

    Raises:
        TypeError: when ``given`` is neither.
        ValueError: when the kinds differ: one panel steers all its features in one way.
    """
    if given is None:
        return {}, "clamp"
    if isinstance(given, Mapping):
        return dict(given), "clamp"
    found = as_interventions(given)
    kinds = {item.kind for item in found}
    if len(kinds) > 1:
        raise ValueError(f"a panel steers all its features in one way, got {', '.join(sorted(kinds))}")
    return {item.feature: item.strength for item in found}, next(iter(kinds), "clamp")  # pyright: ignore[reportReturnType]


def as_feature(given: Any, d_sae: int) -> int:
    """``given`` as a feature number (numpy's too, bool not), or a ValueError that names the range."""
    try:
        feature = -1 if isinstance(given, (bool, np.bool_)) else operator.index(given)
    except TypeError:
        feature = -1
    if not 0 <= feature < d_sae:
        raise ValueError(f"there is no feature {given!r}: this SAE has features 0 to {d_sae - 1}")
    return feature


def as_features(given: Any, d_sae: int) -> list[int]:
    """``given`` as distinct feature numbers, or a ValueError; a TypeError where it is no collection."""
    found = list(dict.fromkeys(as_feature(feature, d_sae) for feature in given))
    if len(found) > MOST:
        raise ValueError(f"a panel holds at most {MOST} features, got {len(found)}")
    return found


def as_strengths(given: Any, d_sae: int) -> dict[int, float]:
    """``{feature: strength}`` of what is on; None is off; keys may be strings, as the browser writes them."""
    if not isinstance(given, Mapping):
        raise ValueError(f"strengths must be {{feature: strength}}, got {given!r}")
    found = {as_feature(int(f) if isinstance(f, str) and f.isdecimal() else f, d_sae): m for f, m in given.items()}
    return {feature: as_strength(feature, m) for feature, m in found.items() if m is not None}


def as_strength(feature: int, given: Any) -> float:
    """One strength as a float, or a ValueError."""
    try:
        strength = math.nan if isinstance(given, (bool, str)) else float(given)
    except (TypeError, ValueError):
        strength = math.nan
    if not -10 <= strength <= 10:
        raise ValueError(
            f"strength of feature {feature} must be a number from -10 to 10, or None for off, got {given!r}"
        )
    return strength


def clipped(strengths: Mapping[int, float], kind: str) -> dict[int, float]:
    """``strengths`` within the limits of a kind."""
    low, high = LIMITS[kind]
    return {feature: min(high, max(low, strength)) for feature, strength in strengths.items()}


def as_kind(given: Any) -> Kind:
    """``given`` as a kind of intervention, or a ValueError."""
    if given not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {given!r}")
    return given


def as_settings(given: Mapping[str, Any]) -> Settings:
    """Complete settings from some; see `Settings`.

    Raises:
        TypeError: when one is unknown.
        ValueError: when one is out of range.
    """
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise TypeError(f"unknown setting {unknown[0]!r}: the settings are {', '.join(DEFAULTS)}")
    merged = {**DEFAULTS, **given}
    if merged["where"] not in PLACES:
        raise ValueError(f"where must be one of {', '.join(PLACES)}, got {merged['where']!r}")
    checks = {
        "max_new_tokens": (1, 4096, "a whole number from 1 to 4096"),
        "seed": (0, 2**53, "a whole number from 0 up"),
        "temperature": (0, 10, "0 (greedy) to 10"),
        "top_p": (1e-6, 1, "above 0 and at most 1"),
    }
    for name, (low, high, words) in checks.items():
        number = merged[name]
        whole = words.startswith("a whole")
        fine = isinstance(number, (int, float, np.number)) and not isinstance(number, bool) and low <= number <= high
        if not fine or (whole and number != int(number)):
            raise ValueError(f"{name} must be {words}, got {number!r}")
        merged[name] = int(number) if whole else float(number)
    if merged["chat"] not in (None, True, False):
        raise ValueError(f"chat must be True, False or None (where the model has a template), got {merged['chat']!r}")
    return Settings(**merged)


def interventions(strengths: Mapping[int, float], kind: Kind) -> tuple[Intervention, ...]:
    """What is on, as the model is asked for it."""
    return tuple(Intervention(feature, strength, kind) for feature, strength in strengths.items())
