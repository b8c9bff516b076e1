"""Sparse activations against loops in plain Python."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saewidgets.sae.activations import JumpReLU, ReLU, SparseActs, TopK

Rows = list[list[float]]

few_values = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0])  # few, so that ties are common
any_value = st.floats(-1e3, 1e3, width=32)


@st.composite
def matrices(draw: st.DrawFn, value: st.SearchStrategy[float] = few_values) -> Rows:
    width = draw(st.integers(1, 9))
    return draw(st.lists(st.lists(value, min_size=width, max_size=width), min_size=1, max_size=5))


def strongest_first(row: list[float], allowed: list[int]) -> list[tuple[int, float]]:
    """The defining sentence: by value, strongest first, ties by feature number."""
    return sorted(((i, row[i]) for i in allowed), key=lambda pair: (-pair[1], pair[0]))


def as_pairs(acts: SparseActs) -> list[list[tuple[int, float]]]:
    """Active features of every row, after a look at the unused places: value 0, index 0, and all at the end."""
    rows = []
    for values, indices in zip(acts.values.tolist(), acts.indices.tolist(), strict=True):
        active = [(i, v) for i, v in zip(indices, values, strict=True) if v != 0]
        assert all(v > 0 for _, v in active)
        unused = list(zip(indices, values, strict=True))[len(active) :]
        assert unused == [(0, 0.0)] * len(unused)
        rows.append(active)
    return rows


@pytest.mark.parametrize("value", [few_values, any_value], ids=["ties", "floats"])
def test_topk_is_the_k_largest_positive_values_ties_by_number(value: st.SearchStrategy[float]) -> None:
    @given(matrices(value), st.integers(1, 10))
    def check(rows: Rows, k: int) -> None:
        found = TopK(k).sparse(torch.tensor(rows))
        expected = [[pair for pair in strongest_first(row, list(range(len(row))))[:k] if pair[1] > 0] for row in rows]
        assert as_pairs(found) == expected
        assert found.values.shape == found.indices.shape == (len(rows), min(k, len(rows[0])))

    check()


@given(matrices())
def test_relu_is_every_positive_value_strongest_first(rows: Rows) -> None:
    found = ReLU().sparse(torch.tensor(rows))
    expected = [strongest_first(row, [i for i, v in enumerate(row) if v > 0]) for row in rows]
    assert as_pairs(found) == expected
    assert found.values.shape[1] == max(1, *map(len, expected), 1)


@given(matrices(), st.data())
def test_jumprelu_is_every_positive_value_above_its_own_threshold(rows: Rows, data: st.DataObject) -> None:
    width = len(rows[0])
    bar = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=width, max_size=width))
    found = JumpReLU(torch.tensor(bar)).sparse(torch.tensor(rows))
    expected = [
        strongest_first(row, [i for i, v in enumerate(row) if v > bar[i] and v > 0]) for row in rows
    ]  # strictly above, as in the paper's Heaviside step
    assert as_pairs(found) == expected


def test_a_tie_at_the_kth_place_goes_to_the_lower_number_in_every_row() -> None:
    pre = torch.ones(64, 40)
    pre[:, 7] = 2.0
    values, indices = TopK(5).sparse(pre)
    assert indices.tolist() == [[7, 0, 1, 2, 3]] * 64
    assert values.tolist() == [[2.0, 1.0, 1.0, 1.0, 1.0]] * 64


@pytest.mark.parametrize("activation", [TopK(3), ReLU(), JumpReLU(torch.zeros(6))])
def test_rows_without_anything_positive_are_empty(activation: TopK | ReLU | JumpReLU) -> None:
    pre = torch.tensor([[0.0] * 6, [-1.0] * 6, [float("-inf")] * 6])
    acts = activation.sparse(pre)
    assert as_pairs(acts) == [[], [], []]
    assert not acts.values.isnan().any()


@pytest.mark.parametrize("activation", [TopK(3), ReLU(), JumpReLU(torch.zeros(6))])
def test_no_rows_at_all(activation: TopK | ReLU | JumpReLU) -> None:
    acts = activation.sparse(torch.zeros(0, 6))
    assert acts.values.shape == acts.indices.shape
    assert len(acts.values) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("activation", [TopK(3), ReLU()])
def test_values_keep_their_dtype(activation: TopK | ReLU, dtype: torch.dtype) -> None:
    acts = activation.sparse(torch.tensor([[1.0, 2.0, -1.0, 2.0]], dtype=dtype))
    assert acts.values.dtype == dtype
    assert acts.indices.dtype == torch.int64
    assert as_pairs(acts) == [[(1, 2.0), (3, 2.0), (0, 1.0)]]


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        TopK(k)


def test_dense_and_feature_see_the_same_values() -> None:
    acts = SparseActs(torch.tensor([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0]]), torch.tensor([[4, 0, 0], [0, 0, 0]]))
    dense: Tensor = acts.dense(5)
    assert dense.tolist() == [[1.0, 0.0, 0.0, 0.0, 2.0], [3.0, 0.0, 0.0, 0.0, 0.0]]
    for feature in range(5):
        assert acts.feature(feature).tolist() == dense[:, feature].tolist()
