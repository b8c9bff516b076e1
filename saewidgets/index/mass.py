"""A sample of each feature's firings in proportion to their activation, from which sums over any tokens are estimated.

Priority sampling (Duffield, Lund and Thorup 2007, "Priority sampling for estimation of arbitrary subset sums"): with u
uniform on (0, 1] for each firing, the 128 of largest activation / u are kept. Each stands for max(activation, τ), where
τ is the 129th quotient. So the estimated activation of any set of firings is unbiased, near-optimal in variance, and
exact for a feature that fired at most 128 times. A uniform sample would let one weak firing stand for thousands.

The total order (quotient desc, key asc) is defined on the whole corpus, as in `saewidgets.index.selection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saewidgets.index.selection import priority, strongest

KEPT = 128  # firings counted of a feature; one more is kept for the threshold


@dataclass(frozen=True, eq=False)
class MassSample:
    """Firings of features, one a row, by (feature, key).

    Attributes:
        feature: int32 ``[n]``.
        key: int64 ``[n]``, where in the corpus.
        value: float32 ``[n]``, native feature_acts.
        token: int32 ``[n]``, number of the token fired on.
    """

    feature: np.ndarray
    key: np.ndarray
    value: np.ndarray
    token: np.ndarray

    def __len__(self) -> int:
        return len(self.feature)

    def take(self, rows: np.ndarray) -> MassSample:
        """Some of them, in the order of ``rows``."""
        return MassSample(self.feature[rows], self.key[rows], self.value[rows], self.token[rows])

    @staticmethod
    def join(parts: Sequence[MassSample]) -> MassSample:
        """One behind the other."""
        names = ("feature", "key", "value", "token")
        return MassSample(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @staticmethod
    def none() -> MassSample:
        """No firing at all."""
        return MassSample(*(np.zeros(0, kind) for kind in (np.int32, np.int64, np.float32, np.int32)))


def quotients(feature: np.ndarray, value: np.ndarray, hashed: np.ndarray, seed: int) -> np.ndarray:
    """Activation / u of firings, float32 ``[n]``; u in (0, 1] are 53 bits of a hash of feature and place.

    Args:
        feature: int32 ``[n]``.
        value: float32 ``[n]``, activations.
        hashed: uint64 ``[n]``, `priority` of their keys.
        seed: of the sample.
    """
    # An odd multiple of a hash takes every number once, too, and costs a fifth of another hash.
    odd = priority(np.arange(feature.max(initial=0) + 1), seed) | np.uint64(1)
    u = odd[feature]
    u *= hashed
    u >>= np.uint64(11)
    u += np.uint64(1)
    scaled = np.multiply(value, 2.0**53, dtype=np.float64)
    return np.divide(scaled, u.view(np.int64), out=scaled).astype(np.float32)


def largest(feature: np.ndarray, quotient: np.ndarray) -> np.ndarray:
    """Rows kept: the 129 of largest quotient of each feature, sorted."""
    order, rank = strongest(feature, quotient)
    return np.sort(order[rank <= KEPT])


def selected_by_mass(feature: np.ndarray, value: np.ndarray, key: np.ndarray, seed: int) -> np.ndarray:
    """Rows kept, sorted."""
    return largest(feature, quotients(feature, value, priority(key, seed), seed))


def counted(sample: MassSample, d_sae: int, seed: int) -> tuple[MassSample, np.ndarray, np.ndarray]:
    """At most 128 firings of each feature, and what they stand for.

    Returns:
        The firings that count; the activation each stands for, float64 ``[n]``; τ, float32 ``[d_sae]``, the 129th
        quotient of each feature, 0 where it fired less often.
    """
    quotient = quotients(sample.feature, sample.value, priority(sample.key, seed), seed)
    order, rank = strongest(sample.feature, quotient)
    last, threshold = order[rank == KEPT], np.zeros(d_sae, np.float32)
    threshold[sample.feature[last]] = quotient[last]
    firings = sample.take(np.sort(order[rank < KEPT]))
    return firings, np.maximum(firings.value, threshold[firings.feature]).astype(np.float64), threshold
