"""Counts, examples, samples and token statistics against a slow two-pass oracle, however the corpus is cut."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from saewidgets.analysis.labels import strongest_tokens
from saewidgets.index import summary as summaries
from saewidgets.index.corpus import Shard
from saewidgets.index.finish import finish
from saewidgets.index.index import Index
from saewidgets.index.merge import Merged
from saewidgets.index.reader import Firings
from saewidgets.index.selection import BINS, bin_edges, log_bin, priority
from saewidgets.index.store import pack, unpack, write_files
from saewidgets.index.summary import Summary, summarise

from . import oracle

VOCAB, PER_INTERVAL = 12, 2


class Corpus:
    """Random windows and firings, with ties, dead features and dense ones."""

    def __init__(self, seed: int, n_windows: int, d_sae: int, hidden: float) -> None:
        rng = np.random.default_rng(seed)
        self.d_sae = d_sae
        self.windows = [rng.integers(0, VOCAB, rng.integers(1, 30)).astype(np.int32) for _ in range(n_windows)]
        self.shown = rng.random(n_windows) >= hidden
        self.keys = np.concatenate([(w << 16) + np.arange(len(ids)) for w, ids in enumerate(self.windows)])
        density = rng.choice([0.0, 0.02, 0.3, 0.9], d_sae)
        values = rng.lognormal(0, 1, (len(self.keys), d_sae)).astype(np.float32)
        coarse = rng.random(d_sae) < 0.5  # many equal values
        values[:, coarse] = np.ceil(values[:, coarse])
        self.dense = np.where(rng.random(values.shape) < density, values, 0).astype(np.float32)

    def shards(self, cuts: list[int]) -> list[tuple[Shard, Firings]]:
        edges = sorted({0, len(self.windows), *(cut % (len(self.windows) + 1) for cut in cuts)})
        return [self._shard(i, a, b) for i, (a, b) in enumerate(itertools.pairwise(edges))]

    def _shard(self, number: int, first: int, end: int) -> tuple[Shard, Firings]:
        rows = (self.keys >> 16 >= first) & (self.keys >> 16 < end)
        acts = scipy.sparse.csr_array(self.dense[rows])
        return Shard(number, first, tuple(self.windows[first:end]), self.shown[first:end]), Firings(
            self.keys[rows], acts
        )

    @property
    def tokens(self) -> dict[int, int]:
        return {int(key): int(self.windows[key >> 16][key & 0xFFFF]) for key in self.keys}

    def oracle(self, sample: int) -> list[dict]:
        tokens = self.tokens
        shown = dict(enumerate(self.shown.tolist()))
        firings = oracle.as_dicts(self.keys, self.dense)
        return oracle.index(tokens, firings, shown, self.d_sae, PER_INTERVAL, sample)


def merge(corpus: Corpus, cuts: list[int], use_bars: bool) -> Merged:
    merged = Merged(corpus.d_sae, VOCAB)
    for shard, firings in corpus.shards(cuts):
        arrays = unpack(pack(summarise(shard, firings, merged.bars if use_bars else None).arrays()))
        merged.add(Summary.from_arrays(arrays))
    return merged


def files_of(corpus: Corpus, merged: Merged) -> dict[str, bytes]:
    found = finish(merged, lambda numbers: [corpus.windows[n] for n in numbers], PER_INTERVAL)
    return {f"{name}.safetensors": pack(arrays) for name, arrays in found.items()}


def open_index(corpus: Corpus, merged: Merged, folder: Path) -> Index:
    about = {"d_sae": corpus.d_sae, "n_tokens": merged.n_tokens}
    write_files(folder, files_of(corpus, merged), about)
    return Index(folder)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_windows=st.integers(1, 40),
    d_sae=st.integers(1, 9),
    hidden=st.sampled_from([0.0, 0.4, 1.0]),
    sample=st.sampled_from([3, 60, 10_000]),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_against_the_oracle(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    n_windows: int,
    d_sae: int,
    hidden: float,
    sample: int,
    cuts: list[int],
) -> None:
    corpus = Corpus(seed, n_windows, d_sae, hidden)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "SAMPLE", sample)
        index = open_index(corpus, merge(corpus, cuts, True), tmp_path_factory.mktemp("index"))
        *features, rest = corpus.oracle(sample)
    assert index.n_tokens == len(corpus.keys)
    for feature, expected in enumerate(features):
        assert index.counts[feature] == expected["count"]
        assert index.maximum[feature] == np.float32(expected["maximum"])
        np.testing.assert_allclose(index.mean[feature] * expected["count"], expected["sum"], rtol=1e-12)
        counts, edges = index.histogram(feature)
        assert dict(zip(log_bin(edges[:-1].astype(np.float32)), counts, strict=True)) | {} == (
            {b: expected["histogram"][b] for b in range(min(expected["histogram"]), max(expected["histogram"]) + 1)}
            if expected["count"]
            else {}
        )
        found = index.examples(feature)
        places = [(e.interval, (e.window << 16) + e.position) for e in found]
        assert places == [(0, key) for key in expected["top"]] + [
            (number, key) for number, keys in expected["intervals"].items() for key in keys
        ]
        for example, (_, key) in zip(found, places, strict=True):
            step = expected["maximum"] / 65_535
            np.testing.assert_allclose(example.value, corpus.dense[corpus.keys == key, feature], rtol=1e-6, atol=step)
            assert example.ids.tolist() == corpus.windows[key >> 16].tolist()
            acts = np.zeros(len(example.ids))
            for place, value in expected["acts"][key].items():
                acts[place] = value
            np.testing.assert_allclose(example.acts, acts, atol=expected["maximum"] / 255)
            assert ((example.acts > 0) == (acts > 0)).all()
    expected_tokens = np.array([rest["token_counts"].get(t, 0) for t in range(VOCAB)])
    np.testing.assert_array_equal(index.token_counts, expected_tokens)
    rows = np.searchsorted(corpus.keys, rest["sample"])
    np.testing.assert_array_equal(index.sample.toarray(), corpus.dense[rows] > 0)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 60), max_size=10),
    sample=st.sampled_from([5, 200, 10_000]),
)
def test_the_same_bytes_with_and_without_bars(seed: int, cuts: list[int], sample: int) -> None:
    corpus = Corpus(seed, 60, 6, 0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "SAMPLE", sample)
        assert files_of(corpus, merge(corpus, cuts, True)) == files_of(corpus, merge(corpus, cuts, False))


def test_another_cut_changes_nothing_but_the_last_bits_of_sums() -> None:
    corpus = Corpus(3, 60, 6, 0.2)
    one, other = merge(corpus, [], True), merge(corpus, [5, 13, 14, 40], True)
    np.testing.assert_allclose(one.sums, other.sums, rtol=1e-14)
    other.sums = one.sums
    assert files_of(corpus, one) == files_of(corpus, other)


def test_phi_against_numpy(tmp_path: Path) -> None:
    corpus = Corpus(2, 50, 8, 0.0)
    index = open_index(corpus, merge(corpus, [9], True), tmp_path)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef((corpus.dense > 0).astype(float).T)
    for feature in range(8):
        np.testing.assert_allclose(index.coactive(feature), expected[feature], atol=1e-9)


def test_bins_are_the_edges() -> None:
    edges = bin_edges()
    assert len(edges) == BINS + 1
    inside = np.nextafter(edges[1:].astype(np.float32), np.float32(0))
    np.testing.assert_array_equal(log_bin(inside), np.arange(BINS))
    np.testing.assert_array_equal(log_bin(edges[:-1].astype(np.float32)), np.arange(BINS))
    assert log_bin(np.array([1e-30, 1e30], np.float32)).tolist() == [0, BINS - 1]


def test_priorities_are_those_of_splitmix() -> None:
    keys = np.array([0, 1, 2, 65536, 2**47])
    assert priority(keys).tolist() == [oracle.splitmix(int(key)) for key in keys]
    assert priority(keys, 1).tolist() == [oracle.splitmix(int(key), 1) for key in keys]


@pytest.mark.parametrize("seed", range(3))
def test_labels_name_what_a_feature_is_strongest_on(seed: int, tmp_path: Path) -> None:
    """Against dictionaries over the examples that cards show; weak firings on everything do not matter."""
    corpus = Corpus(seed, 80, 6, 0.0)
    rng = np.random.default_rng(seed)
    liked = rng.integers(0, VOCAB, corpus.d_sae)
    token = np.concatenate(corpus.windows)
    strong = token[:, None] == liked
    corpus.dense[:] = np.where(strong, 5 + rng.random(corpus.dense.shape), rng.random(corpus.dense.shape)).round(3)
    index = open_index(corpus, merge(corpus, [20, 50], True), tmp_path)
    found, scored = strongest_tokens(index), 0
    base = np.bincount(token, minlength=VOCAB) / len(token)
    for feature in range(corpus.d_sae):
        examples = index.examples(feature)
        mass: dict[int, float] = {}
        for example in (e for e in examples if e.interval == 0):
            at = int(example.ids[example.position])
            mass[at] = mass.get(at, 0.0) + example.value
        whole = sum(mass.values())
        tells = {t: m / whole * np.log(m / whole / base[t]) for t, m in mass.items() if m / whole >= 0.1}
        expected = [t for t in sorted(tells, key=lambda t: (-tells[t], t)) if tells[t] > 0][:3]
        assert [t for t in found.tokens[feature].tolist() if t >= 0] == expected
        if strong[:, feature].sum() >= 20:
            assert expected == [liked[feature]]
        top = {(e.window, e.position) for e in examples if e.interval == 0}
        rest = [e for e in examples if (e.window, e.position) not in top]
        if expected and len(rest) >= 3:
            share = sum(e.value for e in rest if e.ids[e.position] in expected) / sum(e.value for e in rest)
            assert found.scores[feature] == pytest.approx(share, abs=1e-4)
            scored += 1
        else:
            assert np.isnan(found.scores[feature])
    assert scored
