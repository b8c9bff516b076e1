"""Requests to change features inside the SAE."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Intervention:
    """A change to one feature inside the SAE, the error term kept; see `clamp`.

    Attributes:
        feature: feature number.
        strength: multiples of the feature's maximum (1.0 = the strongest it was ever seen; 0 = ablated).
        kind: ``"clamp"``.
    """

    feature: int
    strength: float
    kind: Literal["clamp"] = "clamp"

    def __post_init__(self) -> None:
        is_number = isinstance(self.feature, numbers.Real) and not isinstance(self.feature, bool)
        if not is_number or not float(self.feature).is_integer() or self.feature < 0:
            raise ValueError(f"feature must be a whole number from 0 up, got {self.feature!r}")
        object.__setattr__(self, "feature", int(self.feature))
        if not math.isfinite(self.strength):
            raise ValueError(f"strength of feature {self.feature} must be a finite number, got {self.strength!r}")


def clamp(feature: int, strength: float) -> Intervention:
    """Set a feature to ``strength`` times its maximum wherever the model reads or writes (Anthropic 2024, steering).

    Example:
        >>> clamp(12, 6.0).strength
        6.0
    """
    return Intervention(feature, float(strength))


def as_interventions(given: Any) -> tuple[Intervention, ...]:
    """Read ``None``, one intervention, a sequence of them, or ``{feature: strength}`` (None strengths are off).

    Raises:
        TypeError: when ``given`` is none of these.
        ValueError: when a feature is named twice or a strength is not finite.
    """
    if given is None:
        return ()
    if isinstance(given, Intervention):
        return (given,)
    if isinstance(given, Mapping):
        return tuple(clamp(f, m) for f, m in given.items() if m is not None)
    found = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for item in found:
        if not isinstance(item, Intervention):
            raise TypeError(f"expected {{feature: strength}} or sw.clamp(feature, strength), got {item!r}")
    features = [item.feature for item in found]
    if len(set(features)) < len(features):
        raise ValueError(f"a feature is named twice in {features}: one intervention a feature")
    return found
