"""Figures of fit against their formulas in numpy, and against a forward pass spliced by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saewidgets.analysis.fit import ce_recovered, cross_entropies, cross_entropy, mean_l0, variance_explained
from saewidgets.lm.hooks import blocks_of
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
IDS = torch.tensor([[0, 50, 60, 70, 80, 90], [0, 9, 8, 7, 6, 5]])


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_variance_explained() -> None:
    x, recon = numbers(20, 5, seed=0) + 100.0, numbers(20, 5, seed=1) + 100.0
    a, b = x.double().numpy(), recon.double().numpy()
    expected = 1 - ((a - b) ** 2).sum() / ((a - a.mean(0)) ** 2).sum()
    assert variance_explained(x, recon) == pytest.approx(expected, rel=1e-4)
    assert variance_explained(x, x) == 1.0
    assert variance_explained(x, x.mean(0).expand_as(x)) == pytest.approx(0.0, abs=1e-6)  # the mean earns nothing
    assert variance_explained(x, x * 0) < -100


def test_mean_l0(any_sae: SparseAutoencoder) -> None:
    x = numbers(30, 32, seed=2)
    dense = any_sae.encode(x).dense(48).numpy()
    assert mean_l0(any_sae, x) == pytest.approx(float((dense > 0).sum() / 30))


def numpy_loss(logits: Tensor, ids: Tensor) -> float:
    losses = []
    for row, target in zip(logits.double().numpy(), ids.numpy(), strict=True):
        for place in range(len(target) - 1):
            z = row[place] - row[place].max()
            losses.append(math.log(np.exp(z).sum()) - z[target[place + 1]])
    return sum(losses) / len(losses)


def test_cross_entropy() -> None:
    logits, ids = 3 * numbers(2, 6, 11, seed=3), torch.randint(0, 11, (2, 6))
    assert cross_entropy(logits, ids) == pytest.approx(numpy_loss(logits, ids), rel=1e-5)
    assert cross_entropy(logits.half(), ids) == pytest.approx(numpy_loss(logits, ids), rel=1e-2)


def test_cross_entropies(tiny: LanguageModel, any_sae: SparseAutoencoder) -> None:
    keep = torch.ones(2, 6, dtype=torch.bool)
    keep[:, 0] = False
    keep[1, 3] = False
    mean = numbers(32, seed=4)

    @torch.inference_mode()
    def by_hand(replace: Any) -> float:
        def hook(module: Any, args: Any, output: Any) -> Any:
            x = (output if isinstance(output, Tensor) else output[0]).clone()
            for row, place in keep.nonzero().tolist():
                x[row, place] = replace(x[row, place])
            return x if isinstance(output, Tensor) else (x, *output[1:])

        handle = blocks_of(tiny.module)[2].register_forward_hook(hook)
        try:
            return numpy_loss(tiny.module(input_ids=IDS).logits, IDS)
        finally:
            handle.remove()

    expected = [by_hand(lambda x: x), by_hand(any_sae.reconstruct), by_hand(lambda x: mean)]
    found = cross_entropies(tiny, any_sae, IDS, HOOK, keep, mean)
    assert found == pytest.approx(expected, rel=1e-4)
    assert len({round(value, 5) for value in found}) == 3


def test_ce_recovered() -> None:
    assert ce_recovered(2.0, 2.0, 10.0) == 1.0
    assert ce_recovered(2.0, 10.0, 10.0) == 0.0
    assert ce_recovered(2.0, 4.0, 10.0) == pytest.approx(0.75)
    assert ce_recovered(2.0, 12.0, 10.0) == pytest.approx(-0.25)
    assert math.isnan(ce_recovered(2.0, 2.0, 2.0))
