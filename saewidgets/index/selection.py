"""Which firings are kept as examples: the strongest of each feature, and a seeded sample of every strength.

Both are defined on the whole corpus by a total order, (value desc, key asc) and (priority, key), so that what is kept
does not depend on how the corpus was cut, in which order its parts came, or how often one was tried. Functions take
firings by (feature, key), and leave that order to be relied on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse

from saewidgets.index.corpus import PLACE

TOP = 20  # strongest firings kept of a feature
PER_BIN = 5  # firings kept of a feature and logarithmic bin
PER_OCTAVE, LOWEST, OCTAVES = 4, -12, 32
BINS = PER_OCTAVE * OCTAVES
_SHIFT = 21  # of a float32's bits: leaves sign, exponent and the two highest bits of the mantissa
_FIRST = (127 + LOWEST) * PER_OCTAVE


def log_bin(values: np.ndarray) -> np.ndarray:
    """The bin of positive float32 ``values``, int64 in [0, 128): four an octave from 2⁻¹² to 2²⁰, exact, no logarithm.

    Within an octave bins are of equal width; values beyond either end count to the outermost bin.
    """
    return np.clip((values.view(np.int32) >> _SHIFT) - _FIRST, 0, BINS - 1).astype(np.int64)


def bin_edges() -> np.ndarray:
    """Edges of the bins, float64 ``[129]``."""
    return (np.arange(_FIRST, _FIRST + BINS + 1, dtype=np.int32) << _SHIFT).view(np.float32).astype(np.float64)


def priority(keys: np.ndarray, seed: int = 0) -> np.ndarray:
    """A seeded hash of each key, uint64: the lowest are a uniform sample (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(2 * seed + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def ranks(groups: np.ndarray) -> np.ndarray:
    """Place of each element within its run of equal ``groups``, from 0, int64."""
    place = np.arange(len(groups))
    new = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)]
    return place - np.maximum.accumulate(np.where(new, place, 0))


def order_by(*columns: np.ndarray) -> np.ndarray:
    """`np.lexsort` of integers from 0 up, the last column first, by radix: numpy sorts 16 bits in linear time."""
    order = np.arange(len(columns[0]))
    for column in columns:
        unsigned = column.astype(f"u{column.itemsize}", copy=False)
        most = int(unsigned.max()) if len(unsigned) else 0
        for shift in range(0, most.bit_length(), 16):
            digit = (unsigned >> unsigned.dtype.type(shift)).astype(np.uint16)  # the lowest 16 bits
            order = order[np.argsort(digit[order], kind="stable")]
    return order


@dataclass(frozen=True, eq=False)
class Examples:
    """Firings of features, one a row.

    Attributes:
        feature: int32 ``[n]``.
        key: int64 ``[n]``, where in the corpus.
        value: float32 ``[n]``, native feature_acts.
        token: int32 ``[n]``, number of the token fired on.
        context: float32 CSR ``[n, 65536]``, activations of the feature over its window, by position.
    """

    feature: np.ndarray
    key: np.ndarray
    value: np.ndarray
    token: np.ndarray
    context: scipy.sparse.csr_array

    def __len__(self) -> int:
        return len(self.feature)

    def take(self, rows: np.ndarray) -> Examples:
        """Some of them, in the order of ``rows``."""
        return Examples(self.feature[rows], self.key[rows], self.value[rows], self.token[rows], self.context[rows])

    @staticmethod
    def join(parts: Sequence[Examples]) -> Examples:
        """One behind the other."""
        return Examples(
            np.concatenate([part.feature for part in parts]),
            np.concatenate([part.key for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.token for part in parts]),
            scipy.sparse.csr_array(scipy.sparse.vstack([part.context for part in parts], format="csr")),
        )

    @staticmethod
    def none() -> Examples:
        """No firing at all."""
        context = scipy.sparse.csr_array((0, 1 << PLACE), dtype=np.float32)
        whole = np.zeros(0, np.int32)
        return Examples(whole, np.zeros(0, np.int64), np.zeros(0, np.float32), whole, context)


def strongest(feature: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by (feature, value desc, key), and the rank of each within its feature."""
    falling = ~value.view(np.uint32)  # positive floats sort as their bits do
    # Stable, so that keys keep their order; and quick, as it finds the features in order.
    order = np.argsort((feature.astype(np.int64) << 32) | falling, kind="stable")
    return order, ranks(feature[order])


def sampled(feature: np.ndarray, value: np.ndarray, key: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows by (feature, bin, priority), and the rank of each within its feature and bin; priorities never tie."""
    group = feature.astype(np.int64) * BINS + log_bin(value)
    order = order_by(priority(key, seed), group)
    return order, ranks(group[order])


def selected(feature: np.ndarray, value: np.ndarray, key: np.ndarray, seed: int) -> np.ndarray:
    """Rows kept: the 20 strongest of each feature and the first 5 by priority of each feature and bin; sorted."""
    kept = np.zeros(len(feature), bool)
    for (order, rank), most in ((strongest(feature, value), TOP), (sampled(feature, value, key, seed), PER_BIN)):
        kept[order[rank < most]] = True
    return np.flatnonzero(kept)


@dataclass(frozen=True, eq=False)
class Bars:
    """What a firing must reach to be kept, given what is kept already; firings below change nothing.

    Attributes:
        value: float32 ``[d_sae]``, the 20th best activation so far, 0 where there are fewer.
        priority: uint32 ``[d_sae · 128]``, upper half of the fifth priority so far of each feature and bin.
        mass: float32 ``[d_sae]``, the 129th activation / u so far, 0 where there are fewer.
        token: uint64, the priority a token must be below to enter the sample of tokens.
    """

    value: np.ndarray
    priority: np.ndarray
    mass: np.ndarray
    token: np.uint64

    @staticmethod
    def open(d_sae: int) -> Bars:
        """Bars that let everything pass."""
        everything = np.full(d_sae * BINS, np.iinfo(np.uint32).max)
        nothing = np.zeros(d_sae, np.float32)
        return Bars(nothing, everything, nothing.copy(), np.uint64(np.iinfo(np.uint64).max))


def raised(bars: Bars, kept: Examples, seed: int) -> Bars:
    """Bars with those that the examples kept so far set."""
    d_sae = len(bars.value)
    value, lowest = np.zeros(d_sae, np.float32), np.full(d_sae * BINS, np.iinfo(np.uint32).max)
    order, rank = strongest(kept.feature, kept.value)
    last = order[rank == TOP - 1]
    value[kept.feature[last]] = kept.value[last]
    order, rank = sampled(kept.feature, kept.value, kept.key, seed)
    last = order[rank == PER_BIN - 1]
    group = kept.feature[last].astype(np.int64) * BINS + log_bin(kept.value[last])
    lowest[group] = (priority(kept.key[last], seed) >> np.uint64(32)).astype(np.uint32)
    return replace(bars, value=value, priority=lowest)
