"""Similarities and exact neighbours, against one pair at a time."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from saewidgets.geometry import neighbors as module
from saewidgets.geometry import symmetric
from saewidgets.geometry.neighbors import nearest, others, ranks
from saewidgets.geometry.select import best
from saewidgets.geometry.similarity import ABSENT, Cosine, Phi, Similarity

from . import brute


def vectors(n: int = 60, d: int = 7, seed: int = 0) -> torch.Tensor:
    """Random rows of different lengths; row 5 is zero, rows 8 and 9 are the same."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * torch.linspace(0.1, 30, n)[:, None]
    x[5] = 0
    x[9] = x[8]
    return x


def fires(n_tokens: int = 300, n: int = 25, seed: int = 0) -> np.ndarray:
    """Random firings; column 3 never fires, column 4 always, columns 6 and 7 together."""
    found = np.random.default_rng(seed).random((n_tokens, n)) < np.linspace(0.01, 0.6, n)
    found[:, 3], found[:, 4], found[:, 7] = False, True, found[:, 6]
    return found


def both() -> list[tuple[Similarity, np.ndarray]]:
    x, y = vectors(), fires()
    return [(Cosine(x), brute.cosines(x.numpy())), (Phi(scipy.sparse.csr_array(y)), brute.correlations(y))]


@pytest.mark.parametrize(("measure", "expected"), both(), ids=["cosine", "phi"])
def test_similarity_of_every_pair(measure: Similarity, expected: np.ndarray) -> None:
    found = measure.of(torch.arange(measure.n)).numpy()
    known = ~np.isnan(expected)
    np.testing.assert_allclose(found[known], expected[known], atol=2e-6)
    assert measure.present.tolist() == known.any(0).tolist()
    assert (found[:, ~known.any(0)] == ABSENT).all()
    one = torch.cat([measure.of(torch.tensor([i])) for i in range(measure.n)]).numpy()
    np.testing.assert_allclose(one[known], expected[known], atol=2e-6)
    near = torch.randint(measure.n, (measure.n, 3), generator=torch.Generator().manual_seed(1))
    pairs = measure.pairs(torch.arange(measure.n), near).numpy()
    alike = np.take_along_axis(expected, near.numpy(), 1)
    np.testing.assert_allclose(pairs[~np.isnan(alike)], alike[~np.isnan(alike)], atol=2e-6)


@pytest.mark.parametrize(("measure", "expected"), both(), ids=["cosine", "phi"])
@pytest.mark.parametrize("chunk", [1, 200, 1 << 24])
@pytest.mark.parametrize("tiles", [(1, 7), (16, 8), (16, 32), (1024, 2048)])
def test_neighbours_are_the_nearest(
    measure: Similarity, expected: np.ndarray, chunk: int, tiles: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(symmetric, "STRIP", tiles[0])
    monkeypatch.setattr(symmetric, "TILE", tiles[1])
    table = nearest(measure, 6)
    np.testing.assert_allclose(nearest(measure, 6, range(measure.n)).distances, table.distances, atol=4e-6)
    for feature in range(measure.n):
        if not measure.present[feature]:
            assert (table.indices[feature] == -1).all()
            assert np.isnan(table.distances[feature]).all()
            continue
        wanted = 1 - np.sort([expected[feature, j] for j in brute.order(expected, feature)])[::-1][:6]
        np.testing.assert_allclose(table.distances[feature], wanted, atol=4e-6)
        own = table.indices[feature]
        assert feature not in own
        assert len(set(own.tolist())) == 6
        np.testing.assert_allclose(1 - expected[feature, own], table.distances[feature], atol=4e-6)


def test_duplicates_are_each_others_nearest() -> None:
    table = nearest(Cosine(vectors()), 3)
    assert (table.indices[8, 0], table.indices[9, 0]) == (9, 8)
    assert table.distances[8, 0] == pytest.approx(0, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-2, 2)), min_size=3, max_size=14), st.integers(1, 13))
def test_ties_go_to_the_lower_number(rows: list[tuple[int, int]], k: int) -> None:
    # Along the axes cosines are −1, 0 and 1 to the bit, in whatever order they are summed: nearly everything is tied.
    vectors = torch.zeros(len(rows), 3)
    for row, (axis, length) in enumerate(rows):
        vectors[row, axis] = length
    measure = Cosine(vectors)
    k = min(k, measure.n - 1)
    table = nearest(measure, k)
    exact = measure.of(torch.arange(measure.n)).double().numpy()
    exact[:, ~measure.present.numpy()] = np.nan
    for dense in (0, 16, 10**9):  # only what is better is looked at, some, everything
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(symmetric, "DENSE", dense)
            patch.setattr(symmetric, "STRIP", 3)
            patch.setattr(symmetric, "TILE", 4)
            np.testing.assert_array_equal(nearest(measure, k).indices, table.indices)
    for feature in range(measure.n):
        wanted = brute.order(exact, feature)[:k] if measure.present[feature] else []
        assert table.indices[feature].tolist() == wanted + [-1] * (k - len(wanted))
        if wanted:
            row = others(measure, torch.tensor([feature]))[0]
            everyone = brute.order(exact, feature)
            assert ranks(row, torch.tensor(everyone)).tolist() == list(range(1, len(everyone) + 1))


def test_best_of_equal_values_beyond_k() -> None:
    values, at = best(torch.tensor([[1.0, 3.0, 3.0, 3.0, 2.0]]), 2)
    assert (values.tolist(), at.tolist()) == ([[3.0, 3.0]], [[1, 2]])


def test_wide_rows_are_sorted_alike() -> None:
    found = torch.randn(20, 3000, generator=torch.Generator().manual_seed(0))
    found[:, ::3] = found[:, 1::3]  # ties everywhere
    values, order = found.sort(dim=1, descending=True, stable=True)
    for k in (1, 5, 40):
        best_values, at = best(found, k)
        assert torch.equal(best_values, values[:, :k])
        assert torch.equal(at, order[:, :k])
    plain = torch.randn(20, 3001, generator=torch.Generator().manual_seed(1))
    assert torch.equal(best(plain, 5)[1], plain.topk(5, dim=1).indices)


def test_some_features_only_and_in_their_order() -> None:
    measure = Cosine(vectors())
    table, part = nearest(measure, 4), nearest(measure, 4, [30, 2])
    np.testing.assert_array_equal(part.indices, table.indices[[30, 2]])


def test_half_precision_and_strided_vectors() -> None:
    x = vectors().half()
    np.testing.assert_array_equal(nearest(Cosine(x), 4).indices, nearest(Cosine(x.float()), 4).indices)
    np.testing.assert_array_equal(
        nearest(Cosine(x.float().T.contiguous().T), 4).indices, nearest(Cosine(x.float()), 4).indices
    )


def test_steps_are_told_and_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric, "STRIP", 8)
    told: list[float] = []
    nearest(Cosine(vectors()), 3, step=lambda stage, share: told.append(share))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)

    def stop(stage: str, share: float) -> None:
        if share > 0.5:
            raise InterruptedError

    before = threadpool_info()
    with pytest.raises(InterruptedError) as held:
        nearest(Cosine(vectors()), 3, step=stop)
    assert held.value  # its traceback holds the frames of the work: they must have been left for good
    assert not [t for t in threading.enumerate() if t.name.startswith("saewidgets-neighbours")]
    assert threadpool_info() == before


def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric, "STRIP", 8)
    monkeypatch.setattr(symmetric, "TILE", 16)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(nearest(Cosine(vectors().repeat(3, 1)), 7))
    for table in found[1:]:
        np.testing.assert_array_equal(table.indices, found[0].indices)
        np.testing.assert_array_equal(table.distances, found[0].distances)


def test_bad_input_is_named() -> None:
    x = vectors()
    with pytest.raises(ValueError, match="k must be from 1 to 59"):
        nearest(Cosine(x), 60)
    with pytest.raises(ValueError, match="k must be from 1"):
        nearest(Cosine(x), 0)
    with pytest.raises(ValueError, match="no feature 60"):
        nearest(Cosine(x), 3, [60])
    with pytest.raises(ValueError, match="no feature -1"):
        nearest(Cosine(x), 3, [-1])
    with pytest.raises(ValueError, match="integers"):
        nearest(Cosine(x), 3, [1.5])  # type: ignore[list-item]
    x[11, 2] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinite.*row 11"):
        Cosine(x)
    with pytest.raises(ValueError, match="matrix"):
        Cosine(torch.ones(3))
    with pytest.raises(ValueError, match="sample of tokens is empty"):
        Phi(scipy.sparse.csr_array((0, 4), dtype=bool))
