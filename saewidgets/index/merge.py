"""Summaries of shards joined: integers and examples in any order, float64 sums in shard order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import scipy.sparse

from saewidgets.index import summary as summaries
from saewidgets.index.mass import MassSample, counted, selected_by_mass
from saewidgets.index.selection import BINS, Bars, Examples, order_by, priority, raised, selected
from saewidgets.index.summary import Summary, TokenSample


class _Firings(Protocol):
    """Firings, one a row."""

    @property
    def feature(self) -> np.ndarray: ...
    @property
    def value(self) -> np.ndarray: ...
    @property
    def key(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def take(self: _F, rows: np.ndarray) -> _F: ...
    @staticmethod
    def join(parts: Sequence[Any]) -> Any: ...


_F = TypeVar("_F", bound=_Firings)


class _Best(Generic[_F]):
    """The firings kept of all that came.

    Args:
        none: no firing.
        select: which rows are kept, given feature, value and key of firings by (feature, key), and the seed.
        seed: of the samples.
    """

    def __init__(self, none: _F, select: Callable[..., np.ndarray], seed: int) -> None:
        self._kept, self._select, self._seed = none, select, seed
        self._coming: list[_F] = []

    def add(self, coming: _F) -> bool:
        """Take more; whether that was a time to sort them out."""
        self._coming.append(coming)
        many = sum(map(len, self._coming)) > len(self._kept) // 2
        return many and self._settle()

    @property
    def rows(self) -> _F:
        """What is kept, by (feature, key)."""
        self._settle()
        return self._kept

    def _settle(self) -> bool:
        if self._coming:
            joined = self._kept.join([self._kept, *self._coming])
            order = order_by(joined.key, joined.feature)
            columns = (column[order] for column in (joined.feature, joined.value, joined.key))
            self._kept, self._coming = joined.take(order[self._select(*columns, self._seed)]), []
        return True


class Merged:
    """All shards added so far.

    Added in the order of their numbers, any cut of the work gives the same bits. Firings are sorted out only when
    half as many again have come as are kept, so that their cost vanishes as the corpus grows.

    Attributes:
        n_tokens: tokens that count.
        counts: int64 ``[d_sae]``.
        sums: float64 ``[d_sae]``.
        maximum: float32 ``[d_sae]``.
        histogram: int64 ``[d_sae, 128]``, firings by log bin.
        token_counts: int64 ``[vocab]``, how often each token occurs.
    """

    def __init__(self, d_sae: int, vocab: int, seed: int = 0) -> None:
        self.d_sae, self.seed = d_sae, seed
        self.n_tokens = 0
        self.counts = np.zeros(d_sae, np.int64)
        self.sums = np.zeros(d_sae, np.float64)
        self.maximum = np.zeros(d_sae, np.float32)
        self.histogram = np.zeros((d_sae, BINS), np.int64)
        self.token_counts = np.zeros(vocab, np.int64)
        self._examples = _Best(Examples.none(), selected, seed)
        self._mass = _Best(MassSample.none(), selected_by_mass, seed)
        self._sample = TokenSample(np.zeros(0, np.int64), scipy.sparse.csr_array((0, d_sae), dtype=bool))
        self._bars = Bars.open(d_sae)

    def add(self, summary: Summary) -> None:
        """Join one shard's summary."""
        self.n_tokens += summary.n_tokens
        self.counts += summary.counts
        self.sums += summary.sums
        np.maximum(self.maximum, summary.maximum, out=self.maximum)
        self.histogram.reshape(-1)[summary.bins] += summary.bin_counts
        self.token_counts[summary.tokens] += summary.token_counts
        self._add_sample(summary.sample)
        if self._examples.add(summary.examples):
            self._bars = raised(self._bars, self._examples.rows, self.seed)
        if self._mass.add(summary.mass):
            self._bars = replace(self._bars, mass=counted(self._mass.rows, self.d_sae, self.seed)[2])

    @property
    def examples(self) -> Examples:
        """The examples kept, by (feature, key)."""
        return self._examples.rows

    @property
    def mass(self) -> MassSample:
        """The firings drawn in proportion to their activation, by (feature, key)."""
        return self._mass.rows

    @property
    def sample(self) -> TokenSample:
        """The tokens sampled, by key."""
        return self._sample

    @property
    def bars(self) -> Bars:
        """What a firing of the next shard must reach."""
        return self._bars

    def _add_sample(self, coming: TokenSample) -> None:
        key = np.concatenate([self._sample.key, coming.key])
        active = scipy.sparse.csr_array(scipy.sparse.vstack([self._sample.active, coming.active], format="csr"))
        chance = priority(key, self.seed)
        first = np.lexsort((key, chance))[: summaries.SAMPLE]
        if len(first) == summaries.SAMPLE:
            self._bars = replace(self._bars, token=np.uint64(chance[first[-1]]))
        self._sample = TokenSample(key, active).take(first[np.argsort(key[first])])
