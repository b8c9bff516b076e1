"""Requests to change features inside the SAE."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["clamp", "at_least", "add"]
Where = Literal["both", "prompt", "generation"]
"""Which tokens are changed: prompt and continuation, or one of them."""


@dataclass(frozen=True)
class Intervention:
    """A change to one feature inside the SAE, the error term kept; see `clamp`, `at_least`, `add` and `ablate`.

    Attributes:
        feature: feature number.
        strength: multiples of the feature's maximum (1.0 = the strongest it was ever seen; 0 = ablated); for ``"add"``
            a fraction of the median residual norm.
        kind: ``"clamp"``, ``"at_least"`` or ``"add"``.
        random: a seed: the change is written along a random direction of the same norm, not the feature's own. A
            control, for which the feature is still read.
    """

    feature: int
    strength: float
    kind: Kind = "clamp"
    random: int | None = None

    def __post_init__(self) -> None:
        is_number = isinstance(self.feature, numbers.Real) and not isinstance(self.feature, bool)
        if not is_number or not float(self.feature).is_integer() or self.feature < 0:
            raise ValueError(f"feature must be a whole number from 0 up, got {self.feature!r}")
        object.__setattr__(self, "feature", int(self.feature))
        if not math.isfinite(self.strength):
            raise ValueError(f"strength of feature {self.feature} must be a finite number, got {self.strength!r}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")

    @property
    def needs_maximum(self) -> bool:
        """Whether the strength is a multiple of the feature's maximum, and not 0."""
        return self.kind != "add" and self.strength != 0


def clamp(feature: int, strength: float) -> Intervention:
    """Set a feature to ``strength`` times its maximum wherever the model reads or writes (Anthropic 2024, steering).

    Example:
        >>> clamp(12, 6.0).strength
        6.0
    """
    return Intervention(feature, float(strength))


def at_least(feature: int, strength: float) -> Intervention:
    """Raise a feature to ``strength`` times its maximum wherever it is below: max(f, strength · maximum).

    Example:
        >>> at_least(12, 3.0).kind
        'at_least'
    """
    return Intervention(feature, float(strength), "at_least")


def add(feature: int, strength: float) -> Intervention:
    """Add the feature's unit decoder direction, ``strength`` times the median residual norm long (Turner et al. 2023).

    Example:
        >>> add(12, 0.3).kind
        'add'
    """
    return Intervention(feature, float(strength), "add")


def ablate(feature: int) -> Intervention:
    """Set a feature to 0 everywhere: the same as ``clamp(feature, 0)``.

    Example:
        >>> ablate(12) == clamp(12, 0)
        True
    """
    return Intervention(feature, 0.0)


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
