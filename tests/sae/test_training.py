"""Dictionary learning: gradients against dense autograd, a planted dictionary found again, failures told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.sae import training
from saewidgets.sae.activations import TopK
from saewidgets.sae.training import SelectedColumns, SparseDecode, train_topk

BATCH, D_IN, D_SAE, K = 70, 5, 9, 3  # more rows than the 64 the decoder's gradient takes at once


def doubles(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def indices() -> Tensor:
    return doubles(BATCH, D_SAE, seed=7).topk(K, dim=1).indices


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


def test_encoder_gradients_are_those_of_dense_autograd(indices: Tensor) -> None:
    x, weights = doubles(BATCH, D_IN, seed=1), doubles(BATCH, K, seed=4)
    start = (doubles(D_IN, D_SAE, seed=2), doubles(D_SAE, seed=3))
    W, b = leaves(*start)
    dense = (x @ W + b).gather(1, indices)
    (dense * weights).sum().backward()
    W2, b2 = leaves(*start)
    sparse = SelectedColumns.apply(x, W2, b2, (x @ W2 + b2).detach(), indices)
    (sparse * weights).sum().backward()
    assert torch.equal(sparse, dense)
    torch.testing.assert_close(W2.grad, W.grad)
    torch.testing.assert_close(b2.grad, b.grad)


def test_decoder_gradients_are_those_of_dense_autograd(indices: Tensor) -> None:
    start = (doubles(BATCH, K, seed=1), doubles(D_SAE, D_IN, seed=2))
    weights = doubles(BATCH, D_IN, seed=4)
    values, W = leaves(*start)
    dense = torch.zeros(BATCH, D_SAE, dtype=torch.float64).scatter(1, indices, values) @ W
    (dense * weights).sum().backward()
    values2, W2 = leaves(*start)
    sparse = SparseDecode.apply(values2, indices, W2)
    (sparse * weights).sum().backward()
    torch.testing.assert_close(sparse, dense)
    torch.testing.assert_close(values2.grad, values.grad)
    torch.testing.assert_close(W2.grad, W.grad)


def dense_loss(x: Tensor, parameters: list[Tensor], k: int, dead: Tensor) -> Tensor:
    """The loss by the paper's formulas (Gao et al. 2024), on dense tensors. b_dec is detached in the encoder."""
    W_enc, b_enc, W_dec, b_dec = parameters
    pre = (x - b_dec.detach()) @ W_enc + b_enc
    keep = torch.zeros_like(pre).scatter(1, pre.topk(k, dim=1).indices, 1.0)
    recon = (F.relu(pre) * keep) @ W_dec + b_dec
    loss = (recon - x).square().sum() / (x - x.mean(0)).square().sum()
    if dead.any():
        k_aux = min(int(dead.sum()), x.shape[1] // 2)
        chosen = pre.masked_fill(~dead, -math.inf).topk(k_aux, dim=1).indices
        aux = (F.relu(pre) * torch.zeros_like(pre).scatter(1, chosen, 1.0)) @ W_dec
        error = (x - recon).detach()
        loss = loss + training.AUX_COEFFICIENT * (aux - error).square().sum() / error.square().sum()
    return loss


@pytest.mark.parametrize("with_dead", [False, True])
def test_the_whole_loss_and_its_gradients(with_dead: bool) -> None:
    x = doubles(BATCH, D_IN, seed=1)
    start = [doubles(*shape, seed=s) for s, shape in enumerate([(D_IN, D_SAE), (D_SAE,), (D_SAE, D_IN), (D_IN,)])]
    start[1][:4] -= 30.0 if with_dead else 0.0  # four features that cannot fire
    start[1][0] += 28.0 if with_dead else 0.0
    expected, found = leaves(*start), leaves(*start)
    silent = torch.zeros(D_SAE, dtype=torch.int64)
    silent[:4] = 1000 if with_dead else 0
    pre = (x - start[3]) @ start[0] + start[1]
    top = pre.topk(K, dim=1).indices
    fired = torch.zeros(D_SAE, dtype=torch.bool).index_fill_(0, top[pre.gather(1, top) > 0], True)
    dead = (silent > 0) & ~fired
    assert bool(dead.any()) == with_dead
    loss = dense_loss(x, expected, K, dead)
    loss.backward()
    ours, figures = training._loss(x, tuple(found), K, silent, dead_after=500)
    ours.backward()
    assert ours.item() == pytest.approx(loss.item(), rel=1e-10)
    assert figures["loss"] == pytest.approx(loss.item())
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    assert silent.tolist() == [0 if f else (1000 if d else 0) + BATCH for f, d in zip(fired, dead, strict=True)]


def test_the_auxiliary_loss_reaches_dead_features_and_only_it_does() -> None:
    x = doubles(BATCH, D_IN, seed=1)
    start = [doubles(*shape, seed=s) for s, shape in enumerate([(D_IN, D_SAE), (D_SAE,), (D_SAE, D_IN), (D_IN,)])]
    start[1][:] = 100.0  # all but feature 0 always fire …
    start[1][0] = 5.0  # … which is positive but never among the strongest
    for silent_for, reached in ((0, False), (10_000, True)):
        parameters = leaves(*start)
        silent = torch.full((D_SAE,), silent_for)
        training._loss(x, tuple(parameters), K, silent, dead_after=500)[0].backward()
        W_enc, _, W_dec, _ = (p.grad for p in parameters)
        assert W_enc is not None and W_dec is not None
        assert bool(W_enc[:, 0].abs().sum() > 0) == reached
        assert bool(W_dec[0].abs().sum() > 0) == reached


def planted(n_features: int = 12, d: int = 24, active: int = 2, seed: int = 0) -> tuple[Tensor, Iterator[Tensor]]:
    """Directions, and batches of sparse positive combinations of them around a mean that is not zero."""
    noise = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(n_features, d, generator=noise), dim=1)
    mean = torch.randn(d, generator=noise)

    def batches() -> Iterator[Tensor]:
        while True:
            on = torch.rand(256, n_features, generator=noise).topk(active, dim=1).indices
            strength = torch.zeros(256, n_features).scatter_(1, on, torch.rand(256, active, generator=noise) + 0.5)
            yield 7.0 * (strength @ directions + mean)

    return directions, batches()


def train(**changes: Any) -> Any:
    _, batches = planted()
    return train_topk(batches, **{"d_sae": 24, "k": 2, "steps": 30, "lr": 3e-3, "seed": 0, **changes})


def test_a_planted_dictionary_is_found() -> None:
    directions, batches = planted()
    log: list[dict[str, Any]] = []
    sae = train_topk(batches, d_sae=24, k=2, steps=500, lr=5e-3, on_step=log.append)
    cosine = directions @ F.normalize(sae.W_dec, dim=1).T
    assert cosine.max(dim=1).values.mean() >= 0.95
    assert log[-1]["fvu"] < 0.05 < log[0]["fvu"]
    x = next(batches)
    fvu = (sae.reconstruct(x) - x).square().sum() / (x - x.mean(0)).square().sum()  # in the units of the input again
    assert fvu < 0.05


def test_the_decoder_has_unit_rows_and_the_figures_come_every_20_steps() -> None:
    log: list[dict[str, Any]] = []
    sae = train(on_step=log.append)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(24))
    assert [entry["step"] for entry in log] == [0, 20, 29]
    assert log[0].keys() == {"step", "loss", "fvu", "dead"}
    assert sae.activation == TopK(2)
    assert not any(t.requires_grad for t in sae.tensors().values())


def test_the_same_seed_gives_the_same_weights() -> None:
    assert train().hash() == train().hash() != train(seed=1).hash()


def test_the_scale_folds_away_exactly() -> None:
    """Inputs times a power of two: every rounding is the same, so the SAE is the same but for its two biases."""
    _, batches = planted()
    fixed = [next(batches) for _ in range(10)]
    once = train_topk(iter(fixed), d_sae=24, k=2, steps=10)
    scaled = train_topk(iter([8.0 * x for x in fixed]), d_sae=24, k=2, steps=10)
    assert torch.equal(scaled.W_enc, once.W_enc)
    assert torch.equal(scaled.W_dec, once.W_dec)
    assert torch.equal(scaled.b_dec, 8.0 * once.b_dec)
    assert torch.equal(scaled.b_enc, 8.0 * once.b_enc)
    assert torch.equal(scaled.reconstruct(8.0 * fixed[0]), 8.0 * once.reconstruct(fixed[0]))


def test_the_scale_folds_away_from_what_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SAE on raw inputs gives scale times what the trained parameters gave on scaled ones."""
    seen: list[tuple[Tensor, tuple[Tensor, ...]]] = []
    original = training._loss

    def spy(x: Tensor, parameters: tuple[Tensor, ...], *rest: Any) -> Any:
        seen.append((x, tuple(p.detach().clone() for p in parameters)))
        return original(x, parameters, *rest)

    monkeypatch.setattr(training, "_loss", spy)
    _, batches = planted()
    raw = [next(batches) for _ in range(3)]
    sae = train_topk(iter(raw), d_sae=24, k=2, steps=3, lr=0.0)  # nothing moves: the initial parameters, folded
    x, (W_enc, b_enc, W_dec, b_dec) = seen[0]
    scale = raw[0].norm(dim=1).mean() / math.sqrt(raw[0].shape[1])
    torch.testing.assert_close(x, raw[0] / scale)
    pre = (x - b_dec) @ W_enc + b_enc
    top = pre.topk(2, dim=1)
    recon = torch.zeros_like(pre).scatter_(1, top.indices, top.values.relu()) @ W_dec + b_dec
    torch.testing.assert_close(sae.reconstruct(raw[0]), scale * recon, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", [0, -1, 24, 30])
def test_an_impossible_k_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match="k must be from 1 to d_sae"):
        train(k=k)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_a_loss_that_is_not_finite_ends_the_training(bad: float) -> None:
    def batches() -> Iterator[Tensor]:
        while True:
            yield torch.full((16, 8), bad)

    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        train_topk(batches(), d_sae=12, k=2, steps=5)


def test_divergence_ends_the_training() -> None:
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(lr=1e38, steps=60)


def test_too_few_batches_are_an_error() -> None:
    _, batches = planted()
    with pytest.raises(ValueError, match="3 of 5"):
        train_topk(iter([next(batches) for _ in range(3)]), d_sae=24, k=2, steps=5)
