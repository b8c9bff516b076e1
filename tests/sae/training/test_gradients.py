"""Sparse encoder and decoder against dense autograd of the same formulas, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saewidgets.sae.training.gradients import SelectedActs, Selection, SparseDecode

from .reference import normal


def selection(mask: Tensor) -> Selection:
    """The flat form of a boolean ``[batch, d_sae]``."""
    rows, cols = mask.nonzero(as_tuple=True)
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)])
    return Selection(rows, cols, crow, mask.shape[1])


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


def check(mask: Tensor, d_in: int, seed: int = 0) -> None:
    """Values and every gradient, through encoder and decoder at once."""
    batch, d_sae = mask.shape
    kept = (batch, d_in), (d_sae, d_in), (d_sae,), (d_sae, d_in), (batch, d_in)
    x, W_enc, b_enc, W_dec, weights = (
        normal(*shape, seed=10 * seed + i, dtype=torch.float64) for i, shape in enumerate(kept)
    )
    chosen = selection(mask)

    dense = leaves(W_enc, b_enc, W_dec)
    pre = x @ dense[0].T + dense[1]
    expected = (pre.relu() * mask) @ dense[2]
    (expected * weights).sum().backward()

    sparse = leaves(W_enc, b_enc, W_dec)
    values = SelectedActs.apply(x, sparse[0], sparse[1], (x @ W_enc.T + b_enc), chosen)
    assert torch.equal(values, pre.detach()[mask])
    found = SparseDecode.apply(values.relu(), sparse[2], chosen)
    (found * weights).sum().backward()

    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(sparse, dense, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 9),
    d_in=st.integers(1, 5),
    d_sae=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_gradients_of_any_selection(batch: int, d_in: int, d_sae: int, density: float, seed: int) -> None:
    check(torch.rand(batch, d_sae, generator=torch.Generator().manual_seed(seed)) < density, d_in, seed)


@pytest.mark.parametrize("row", [0, 2, 4])
def test_everything_on_one_row(row: int) -> None:
    mask = torch.zeros(5, 7, dtype=torch.bool)
    mask[row] = True
    check(mask, 3)


@pytest.mark.parametrize("d_sae", [1 << 16, (1 << 16) + 5])
def test_on_either_side_of_sixteen_bits(d_sae: int) -> None:
    """Features 0 and 65 536 are the same in 16 bits, and must not be here."""
    mask = torch.zeros(3, d_sae, dtype=torch.bool)
    mask[:, [0, 3, d_sae - 1]] = True
    mask[1, [4, (1 << 16) - 1]] = True
    mask[2, 3] = False
    check(mask, 2)


def test_a_selection_in_any_order_within_a_token() -> None:
    """`top_k` does not sort."""
    chosen = Selection(torch.tensor([0, 0, 1, 1]), torch.tensor([4, 1, 2, 0]), torch.tensor([0, 2, 4]), 5)
    values, W = leaves(normal(4, seed=1), normal(5, 3, seed=2))
    (SparseDecode.apply(values, W, chosen)[0] * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    direction = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(
        values.grad, torch.tensor([float(W.detach()[i] @ direction) for i in (4, 1)] + [0.0, 0.0])
    )
    expected = torch.zeros(5, 3)
    expected[4], expected[1] = values[0].item() * direction, values[1].item() * direction
    torch.testing.assert_close(W.grad, expected)


def test_half_precision_pre_activations_give_gradients_in_full() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    x, W, b = normal(2, 4), *leaves(normal(3, 4, seed=1), normal(3, seed=2))
    pre = (x @ W.T + b).detach().bfloat16()
    values = SelectedActs.apply(x, W, b, pre, selection(mask))
    assert values.dtype == torch.float32
    values.sum().backward()
    torch.testing.assert_close(W.grad, x.sum(0).expand(3, 4))
    torch.testing.assert_close(b.grad, torch.full((3,), 2.0))


def test_no_warning_reaches_the_user(recwarn: pytest.WarningsRecorder) -> None:
    check(torch.ones(2, 3, dtype=torch.bool), 2)
    assert not recwarn.list
