"""Selections against a full sort of everything."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saewidgets.sae.training.gradients import Selection
from saewidgets.sae.training.select import batch_top_k, top_k

few_values = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])  # few, so that ties are common
any_value = st.floats(-1e3, 1e3, width=32)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Tensor, int]:
    """Pre-activations with two features or more, and a k below their number."""
    width = draw(st.integers(2, 8))
    value = draw(st.sampled_from([few_values, any_value]))
    rows = draw(st.lists(st.lists(value, min_size=width, max_size=width), min_size=1, max_size=6))
    return torch.tensor(rows), draw(st.integers(1, width - 1))


def is_whole(chosen: Selection, pre: Tensor) -> None:
    """Sorted by token, no place twice, and ``crow`` says where tokens begin."""
    batch, d_sae = pre.shape
    places = list(zip(chosen.rows.tolist(), chosen.cols.tolist(), strict=True))
    assert len(set(places)) == len(places)
    assert chosen.rows.tolist() == sorted(chosen.rows.tolist())
    assert all(0 <= row < batch and 0 <= col < d_sae for row, col in places)
    assert chosen.d_sae == d_sae
    assert chosen.crow.tolist() == [sum(row < begin for row, _ in places) for begin in range(batch + 1)]


@settings(max_examples=80, deadline=None)
@given(matrices())
def test_top_k_is_the_k_largest_of_every_row(given_: tuple[Tensor, int]) -> None:
    pre, k = given_
    chosen = top_k(pre, k)
    is_whole(chosen, pre)
    for row, values in enumerate(pre):
        kept = pre[row, chosen.cols[chosen.rows == row]]
        assert sorted(kept.tolist()) == sorted(values.tolist())[-k:]


@settings(max_examples=150, deadline=None)
@given(matrices(), st.sampled_from(["zero", "perfect", "just below", "just above", "far too high"]))
def test_batch_top_k_is_the_largest_positive_of_all_whatever_the_guess(given_: tuple[Tensor, int], how: str) -> None:
    pre, k = given_
    expected = sorted((v for v in pre.flatten().tolist() if v > 0), reverse=True)[: len(pre) * k]
    edge = expected[-1] if expected else 0.0
    guess = {"zero": 0.0, "perfect": edge, "just below": 0.8 * edge, "just above": 1.01 * edge, "far too high": 1e9}
    chosen, smallest = batch_top_k(pre, k, guess[how])
    is_whole(chosen, pre)
    assert sorted(pre[chosen.rows, chosen.cols].tolist(), reverse=True) == expected
    assert smallest == edge


@pytest.mark.parametrize("guess", [0.0, 0.5, 2.0])
def test_nothing_positive(guess: float) -> None:
    chosen, smallest = batch_top_k(torch.tensor([[-1.0, 0.0, -2.0]]), 2, guess)
    assert len(chosen.rows) == 0 and smallest == 0.0 and chosen.crow.tolist() == [0, 0]


def test_all_equal_still_makes_exactly_batch_k() -> None:
    chosen, smallest = batch_top_k(torch.ones(4, 5), 2)
    is_whole(chosen, torch.ones(4, 5))
    assert len(chosen.rows) == 8 and smallest == 1.0


def test_one_token_may_take_what_another_leaves() -> None:
    pre = torch.tensor([[9.0, 8.0, 7.0, 6.0], [1.0, 2.0, -1.0, -1.0]])
    chosen, smallest = batch_top_k(pre, 2)
    assert chosen.rows.tolist() == [0, 0, 0, 0] and smallest == 6.0


def test_half_precision() -> None:
    pre = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    chosen, smallest = batch_top_k(pre, 3, 0.2)
    assert len(chosen.rows) == 24
    assert smallest == float(pre[chosen.rows, chosen.cols].min())
    assert int((pre > smallest).sum()) <= 24
