"""What one shard says about every feature; works on the active features alone, never on ``[n, d_sae]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saewidgets.index.corpus import PLACE, Shard
from saewidgets.index.mass import KEPT, MassSample, largest, quotients
from saewidgets.index.reader import Firings
from saewidgets.index.selection import BINS, PER_BIN, TOP, Bars, Examples, log_bin, priority, selected

SAMPLE = 50_000  # tokens whose whole set of features is kept, for co-activation
_PLAIN = ("counts", "sums", "maximum", "bins", "bin_counts", "tokens", "token_counts")
_FIRING = ("feature", "key", "value", "token")
_CSR = ("data", "indices", "indptr")


@dataclass(frozen=True, eq=False)
class TokenSample:
    """Some tokens with all their features.

    Attributes:
        key: int64 ``[n]``.
        active: bool CSR ``[n, d_sae]``.
    """

    key: np.ndarray
    active: scipy.sparse.csr_array

    def take(self, rows: np.ndarray) -> TokenSample:
        """Some of them, in the order of ``rows``."""
        return TokenSample(self.key[rows], self.active[rows])


@dataclass(frozen=True, eq=False)
class Summary:
    """One shard's share of the index.

    Attributes:
        n_tokens: tokens that count.
        counts: int64 ``[d_sae]``, tokens each feature fires on.
        sums: float64 ``[d_sae]``, total activation.
        maximum: float32 ``[d_sae]``.
        bins: int64, rising feature · 128 + bin of every log bin that is not empty.
        bin_counts: int64, firings in each of ``bins``.
        tokens: int32, rising numbers of the tokens that occur.
        token_counts: int64, how often each does.
        examples: firings that may be among the corpus's examples.
        mass: firings that may be among those drawn in proportion to their activation.
        sample: tokens that may be in the sample of tokens.
    """

    n_tokens: int
    counts: np.ndarray
    sums: np.ndarray
    maximum: np.ndarray
    bins: np.ndarray
    bin_counts: np.ndarray
    tokens: np.ndarray
    token_counts: np.ndarray
    examples: Examples
    mass: MassSample
    sample: TokenSample

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays to be written; see `from_arrays`."""
        examples, context, active = self.examples, self.examples.context, self.sample.active
        return {
            "n_tokens": np.array([self.n_tokens]),
            **{name: getattr(self, name) for name in _PLAIN},
            **{f"example_{name}": getattr(examples, name) for name in _FIRING},
            **{f"context_{name}": getattr(context, name) for name in _CSR},
            **{f"mass_{name}": getattr(self.mass, name) for name in _FIRING},
            "sample_key": self.sample.key,
            "sample_indices": active.indices,
            "sample_indptr": active.indptr,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> Summary:
        """What `arrays` wrote."""
        columns = [arrays[f"context_{name}"] for name in _CSR]
        context = scipy.sparse.csr_array(tuple(columns), shape=(len(columns[2]) - 1, 1 << PLACE))
        indices, indptr = arrays["sample_indices"], arrays["sample_indptr"]
        shape = (len(indptr) - 1, len(arrays["counts"]))
        active = scipy.sparse.csr_array((np.ones(len(indices), bool), indices, indptr), shape=shape)
        return Summary(
            n_tokens=int(arrays["n_tokens"][0]),
            **{name: arrays[name] for name in _PLAIN},
            examples=Examples(*(arrays[f"example_{name}"] for name in _FIRING), context=context),
            mass=MassSample(*(arrays[f"mass_{name}"] for name in _FIRING)),
            sample=TokenSample(arrays["sample_key"], active),
        )


def summarise(shard: Shard, firings: Firings, bars: Bars | None = None, seed: int = 0) -> Summary:
    """Reduce the firings of a shard.

    Args:
        shard: whose tokens they are.
        firings: features on the tokens that count.
        bars: what is known not to be needed; the merged index is the same with and without.
        seed: of the samples.
    """
    table = _Table.of(firings, seed)
    d_sae, feature, value = len(table.start) - 1, table.feature, table.value
    counts = np.diff(table.start).astype(np.int64)
    sums = np.bincount(feature, weights=value.astype(np.float64), minlength=d_sae)
    group = feature.astype(np.int64) * BINS + log_bin(value)
    histogram = np.bincount(group, minlength=d_sae * BINS)
    bins = np.flatnonzero(histogram)
    maximum = np.zeros(d_sae, np.float32)
    fires = counts > 0
    if fires.any():
        maximum[fires] = np.maximum.reduceat(value, table.start[:-1][fires])
    tokens, token_counts = np.unique(shard.tokens(firings.keys), return_counts=True)
    bars = bars or Bars.open(d_sae)
    return Summary(
        n_tokens=len(firings.keys),
        counts=counts,
        sums=sums,
        maximum=maximum,
        bins=bins,
        bin_counts=histogram[bins],
        tokens=tokens.astype(np.int32),
        token_counts=token_counts,
        examples=_examples(shard, table, group, histogram, bars, seed),
        mass=_mass(shard, table, sums, bars, seed),
        sample=_sample(firings, bars, seed),
    )


class _Table(NamedTuple):
    """The firings of a shard by (feature, key)."""

    keys: np.ndarray
    """int64 ``[n_tokens]``."""
    row: np.ndarray
    """int32 ``[n]``, which of ``keys``."""
    feature: np.ndarray
    """int32 ``[n]``."""
    value: np.ndarray
    """float32 ``[n]``."""
    hashed: np.ndarray
    """uint64 ``[n]``, priority of the key."""
    start: np.ndarray
    """int32 ``[d_sae + 1]``, where each feature begins."""

    @staticmethod
    def of(firings: Firings, seed: int) -> _Table:
        columns = firings.acts.tocsc()  # a counting sort; within a feature tokens keep their order
        start, row = columns.indptr, columns.indices
        feature = np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start))
        return _Table(firings.keys, row, feature, columns.data, priority(firings.keys, seed)[row], start)


def _examples(shard: Shard, table: _Table, group: np.ndarray, histogram: np.ndarray, bars: Bars, seed: int) -> Examples:
    """Examples among all firings; two linear filters leave few to be sorted."""
    keys, row, feature, value, hashed, _ = table
    if not shard.shown.all():
        shown = shard.shown[(keys >> PLACE) - shard.first][row]
        histogram = np.bincount(group[shown], minlength=len(histogram))
    else:
        shown = np.ones(len(row), bool)
    strong = (value >= bars.value[feature]) & _among_the_strongest(group, histogram)
    drawn = (hashed >> np.uint64(32)) <= bars.priority[group]
    drawn &= _among_the_first(group, histogram, hashed, drawn & shown)
    at = np.flatnonzero(shown & (strong | drawn))
    at = at[selected(feature[at], value[at], keys[row[at]], seed)]
    key = keys[row[at]]
    return Examples(feature[at], key, value[at], shard.tokens(key), _context(shard, table, at))


def _mass(shard: Shard, table: _Table, sums: np.ndarray, bars: Bars, seed: int) -> MassSample:
    """Firings drawn in proportion to their activation; a linear filter leaves few to be sorted."""
    quotient = quotients(table.feature, table.value, table.hashed, seed)
    # Of a feature's firings, Σ min(1, activation / t) ≤ sum / t are expected above a threshold t.
    likely = (sums / (KEPT + 6 * KEPT**0.5 + 10)).astype(np.float32)
    likely[np.diff(table.start) <= KEPT] = 0
    bar = np.maximum(bars.mass, likely)
    at = np.flatnonzero(quotient >= bar[table.feature])
    few = np.bincount(table.feature[at], minlength=len(sums)) <= KEPT
    if (bar > bars.mass)[few].any():
        at = np.flatnonzero(quotient >= np.where(few, bars.mass, bar)[table.feature])
    at = at[largest(table.feature[at], quotient[at])]
    key = table.keys[table.row[at]]
    return MassSample(table.feature[at], key, table.value[at], shard.tokens(key))


def _among_the_strongest(group: np.ndarray, histogram: np.ndarray) -> np.ndarray:
    """Firings with fewer than 20 of their feature in higher bins: the 20 strongest, and some more."""
    table = histogram.reshape(-1, BINS)
    above = table[:, ::-1].cumsum(1)[:, ::-1] - table
    return (above < TOP).ravel()[group]


def _among_the_first(group: np.ndarray, histogram: np.ndarray, hashed: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Firings whose priority is low for a bin of that many, and all of a bin where too few are."""
    size = histogram[group]
    generous = (PER_BIN + 6 * PER_BIN**0.5 + 10) / np.maximum(size, 1)
    low = hashed.astype(np.float64) <= generous * 2.0**64
    enough = np.bincount(group[low & usable], minlength=len(histogram)) >= PER_BIN
    return low | ~enough[group]


def _context(shard: Shard, table: _Table, at: np.ndarray) -> scipy.sparse.csr_array:
    """Activations of the feature over the window of each example: a run of its column."""
    keys, row, feature, value, _, _ = table
    windows = np.searchsorted(keys, (shard.first + np.arange(len(shard.windows) + 1)) << PLACE)  # their first rows
    window = (keys[row[at]] >> PLACE) - shard.first
    place, column = feature.astype(np.int64) * len(keys) + row, feature[at].astype(np.int64) * len(keys)
    first = np.searchsorted(place, column + windows[window])
    end = np.searchsorted(place, column + windows[window + 1])
    size = end - first
    indptr = np.concatenate([[0], np.cumsum(size)])
    there = np.arange(indptr[-1]) + np.repeat(first - indptr[:-1], size)
    position = keys[row[there]] & ((1 << PLACE) - 1)
    return scipy.sparse.csr_array((value[there], position.astype(np.int32), indptr), shape=(len(at), 1 << PLACE))


def _sample(firings: Firings, bars: Bars, seed: int) -> TokenSample:
    chance = priority(firings.keys, seed)
    rows = np.flatnonzero(chance < bars.token)
    rows = np.sort(rows[np.lexsort((firings.keys[rows], chance[rows]))[:SAMPLE]])
    acts = firings.acts[rows]
    active = scipy.sparse.csr_array((np.ones(acts.nnz, bool), acts.indices, acts.indptr), shape=acts.shape)
    return TokenSample(firings.keys[rows], active)
