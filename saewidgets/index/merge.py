"""Summaries of shards joined: integers and examples in any order, float64 sums in shard order."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from saewidgets.index import summary as summaries
from saewidgets.index.selection import BINS, Bars, Examples, bars_of, priority, selected
from saewidgets.index.summary import Summary, TokenSample


class Merged:
    """All shards added so far.

    Added in the order of their numbers, any cut of the work gives the same bits. Examples are sorted out only when
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
        self._examples = Examples.none()
        self._coming: list[Examples] = []
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
        self._coming.append(summary.examples)
        if sum(map(len, self._coming)) > len(self._examples) // 2:
            self._settle()

    @property
    def examples(self) -> Examples:
        """The examples kept, by (feature, key)."""
        self._settle()
        return self._examples

    @property
    def sample(self) -> TokenSample:
        """The tokens sampled, by key."""
        return self._sample

    @property
    def bars(self) -> Bars:
        """What a firing of the next shard must reach."""
        return self._bars

    def _settle(self) -> None:
        if not self._coming:
            return
        joined = Examples.join([self._examples, *self._coming])
        self._examples = joined.take(selected(joined.feature, joined.value, joined.key, self.seed))
        self._coming = []
        self._bars = bars_of(self._examples, self.d_sae, self.seed, self._bars.token)

    def _add_sample(self, coming: TokenSample) -> None:
        key = np.concatenate([self._sample.key, coming.key])
        active = scipy.sparse.csr_array(scipy.sparse.vstack([self._sample.active, coming.active], format="csr"))
        chance = priority(key, self.seed)
        first = np.lexsort((key, chance))[: summaries.SAMPLE]
        if len(first) == summaries.SAMPLE:
            self._bars = Bars(self._bars.value, self._bars.priority, np.uint64(chance[first[-1]]))
        self._sample = TokenSample(key, active).take(first[np.argsort(key[first])])
