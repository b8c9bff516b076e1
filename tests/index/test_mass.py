"""Firings drawn in proportion to their activation, and the shares of tokens estimated from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saewidgets.index import mass
from saewidgets.index import summary as summaries
from saewidgets.index.mass import KEPT, MassSample, counted
from saewidgets.index.merge import Merged
from saewidgets.index.summary import Summary, summarise

from . import oracle
from .test_merge import VOCAB, Corpus, merge, open_index


def drawn(merged: Merged) -> dict[int, tuple[dict[int, float], float]]:
    """What the firings of each feature stand for, and its threshold, as `oracle.by_mass` gives them."""
    firings, stands_for, threshold = counted(merged.mass, merged.d_sae, merged.seed)
    found = {f: ({}, float(threshold[f])) for f in range(merged.d_sae)}
    for f, key, each in zip(firings.feature.tolist(), firings.key.tolist(), stands_for.tolist(), strict=True):
        found[f][0][key] = each
    return found


def columns(sample: MassSample) -> list[list[float]]:
    return [sample.feature.tolist(), sample.key.tolist(), sample.value.tolist(), sample.token.tolist()]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_windows=st.integers(1, 60),
    hidden=st.sampled_from([0.0, 0.4]),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    use_bars=st.booleans(),
)
def test_against_the_oracle(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    n_windows: int,
    hidden: float,
    cuts: list[int],
    use_bars: bool,
) -> None:
    """Firings, what they stand for, and the tokens listed; also those of windows that are not shown."""
    corpus = Corpus(seed, n_windows, 6, hidden)
    merged = merge(corpus, cuts, use_bars)
    index = open_index(corpus, merged, tmp_path_factory.mktemp("index"))
    fires, tokens, found = oracle.as_dicts(corpus.keys, corpus.dense), corpus.tokens, drawn(merged)
    total = len(tokens)
    for feature in range(corpus.d_sae):
        values = fires[feature]
        quotients = {key: oracle.quotient(feature, key, value) for key, value in values.items()}
        stands_for, threshold = oracle.by_mass(quotients, values)
        assert found[feature] == (stands_for, threshold)
        shares = oracle.shares(stands_for, threshold, tokens)
        base = {t: list(tokens.values()).count(t) / total for t in shares}
        tells = {t: share * np.log(share / base[t]) for t, share in shares.items()}
        listed = index.distinctive(feature)
        # Equal ones may be listed in either order: their shares differ in the last bit.
        best = [told for told in sorted(tells.values(), reverse=True) if told > 1e-12][:8]
        np.testing.assert_allclose([tells[t] for t, _, _ in listed][: len(best)], best, rtol=1e-9)
        assert len(best) <= len(listed) <= 8
        for t, share, rate in listed:
            assert share == pytest.approx(shares[t], rel=1e-3) and rate == pytest.approx(base[t])


@pytest.mark.parametrize("use_bars", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_the_same_firings_in_whichever_order_shards_come(
    use_bars: bool, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where most quotients are equal, so that keys decide."""
    if tied:
        for module in (mass, summaries):
            monkeypatch.setattr(module, "quotients", lambda feature, value, hashed, seed: np.array(value))
    corpus = Corpus(5, 120, 8, 0.2)
    expected = columns(merge(corpus, [], False).mass)
    fires = oracle.as_dicts(corpus.keys, corpus.dense)
    if tied:
        kept = {(f, key) for f in range(8) for key in sorted(fires[f], key=lambda k: (-fires[f][k], k))[: KEPT + 1]}
        assert set(zip(*expected[:2], strict=True)) == kept
    parts = corpus.shards([7, 20, 21, 40, 55, 70, 90])
    for order in ([7, 6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 1, 7, 5, 2, 4]):
        merged, spared = Merged(corpus.d_sae, VOCAB), 0
        for number in order:
            summary = summarise(*parts[number], merged.bars if use_bars else None)
            spared += len(summarise(*parts[number]).mass) - len(summary.mass)
            merged.add(Summary.from_arrays(summary.arrays()))
        assert columns(merged.mass) == expected
        assert (spared > 200) == use_bars, "bars leave little to be kept"


def test_no_more_is_kept_than_counts() -> None:
    corpus = Corpus(5, 120, 8, 0.0)
    most = (corpus.dense > 0).sum(0)
    assert (most > KEPT + 1).any() and ((most > 0) & (most < KEPT)).any()
    for summary in (summarise(*corpus.shards([])[0]), merge(corpus, [30, 60], True)):
        np.testing.assert_array_equal(np.bincount(summary.mass.feature, minlength=8), np.minimum(most, KEPT + 1))


def repeated(value: np.ndarray, token: np.ndarray, times: int) -> MassSample:
    """The same firings for many features: as many draws, since each feature draws anew."""
    n = len(value)
    feature = np.repeat(np.arange(times, dtype=np.int32), n)
    key = np.tile((np.arange(n) // 50 << 16) + np.arange(n) % 50, times)
    return MassSample(feature, key, np.tile(value, times), np.tile(token, times))


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.5])
def test_the_sum_over_any_token_is_unbiased(spread: float) -> None:
    """Over 3 × 1000 draws, within four standard errors, which are below one percent of the whole."""
    rng = np.random.default_rng(int(10 * spread))
    n, times = 400, 1000
    value = rng.lognormal(0, spread, n).astype(np.float32)
    token = rng.choice(6, n, p=[0.5, 0.25, 0.15, 0.05, 0.03, 0.02]).astype(np.int32)
    draws = np.concatenate([estimates(repeated(value, token, times), times, seed) for seed in (0, 1, 2)])
    exact = np.bincount(token, weights=value, minlength=6)
    exact, draws = np.append(exact, exact.sum()), np.column_stack([draws, draws.sum(1)])
    error = draws.std(0) / len(draws) ** 0.5
    assert (error[:-1] > 0).all() and (error < 0.01 * exact.sum()).all()
    assert (np.abs(draws.mean(0) - exact) <= 4 * error + 1e-6 * exact).all()
    # What priority sampling promises of the whole (Szegedy 2006), with a little for chance.
    assert draws[:, -1].std() <= 1.05 * exact[-1] / (KEPT - 1) ** 0.5


def estimates(sample: MassSample, times: int, seed: int) -> np.ndarray:
    """Estimated activation by token, float64 ``[times, 6]``."""
    firings, stands_for, _ = counted(sample.take(mass.selected_by_mass(*keys_of(sample), seed)), times, seed)
    return np.bincount(firings.feature * 6 + firings.token, weights=stands_for, minlength=6 * times).reshape(-1, 6)


def keys_of(sample: MassSample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return sample.feature, sample.value, sample.key


def test_features_draw_apart() -> None:
    """A token is not drawn by every feature that fires on it: as many pairs are drawn by both as chance would have."""
    n, times = 400, 300
    sample = repeated(np.ones(n, np.float32), np.zeros(n, np.int32), times)
    rows = mass.selected_by_mass(*keys_of(sample), 0)
    kept = np.zeros((times, n))
    kept.reshape(-1)[rows] = 1
    assert (kept.sum(1) == KEPT + 1).all()
    # Each of n places is drawn by Binomial(times, 129 / n) features.
    chance = (KEPT + 1) / n
    expected = times * chance * (1 - chance)
    assert kept.sum(0).var() == pytest.approx(expected, rel=4 * (2 / n) ** 0.5)
    both = (kept @ kept.T)[np.triu_indices(times, 1)]
    assert both.mean() == pytest.approx(n * chance**2, rel=0.02)
    assert both.max() <= n * chance**2 + 8 * (n * chance**2) ** 0.5


@pytest.mark.parametrize("more", [0, 1])
def test_shares_are_exact_up_to_128_firings(tmp_path: Path, more: int) -> None:
    corpus = Corpus(1, 30, 5, 0.0)
    token = np.concatenate(corpus.windows)
    corpus.dense[:] = 0
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(token))[: KEPT + more]
    corpus.dense[rows, 2] = rng.lognormal(0, 1, len(rows))
    merged = merge(corpus, [3, 11], True)
    index = open_index(corpus, merged, tmp_path)
    mine = corpus.dense[:, 2].astype(np.float64)
    exact = np.array([mine[token == t].sum() / mine.sum() for t in range(VOCAB)])
    listed = {t: share for t, share, _ in index.distinctive(2)}
    if not more:
        assert all(share == pytest.approx(exact[t], rel=1e-3) for t, share in listed.items())
    base = {t: base for t, _, base in index.distinctive(2)}
    assert all(base[t] == pytest.approx((token == t).mean()) for t in base)
    assert len(listed) >= 3 and index.distinctive(0) == []
    firings, stands_for, threshold = counted(merged.mass, 5, 0)
    assert len(firings) == KEPT and (threshold[2] > 0) == bool(more)
    assert (stands_for.sum() == pytest.approx(mine.sum())) == (not more)


def test_few_firings_on_a_rare_token_are_not_listed(tmp_path: Path) -> None:
    """The feature's own token is; as a token of two firings in all it is, too, where nothing was left out."""
    corpus = Corpus(1, 400, 2, 0.0)
    token = np.concatenate(corpus.windows)
    rare = VOCAB - 1
    token[token == rare] = 0
    token[[100, 3000]] = rare
    corpus.windows = np.split(token, np.cumsum([len(w) for w in corpus.windows])[:-1])
    corpus.dense[:] = 0
    corpus.dense[token == 3, 0] = 4
    corpus.dense[token == 5, 0] = 0.1
    corpus.dense[[100, 3000], :] = 100  # of both features, and surely drawn
    index = open_index(corpus, merge(corpus, [50, 200], True), tmp_path)
    assert (token == 3).sum() > 200
    assert [t for t, _, _ in index.distinctive(0)] == [3]
    assert [(t, share) for t, share, _ in index.distinctive(1)] == [(rare, 1.0)]
