"""Where training begins: near the samples, and with an encoder that does not overshoot."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from saewidgets.sae.toy import planted
from saewidgets.sae.training import start
from saewidgets.sae.training.trainer import Trainer

from .reference import kept_of_each, normal

D_IN, D_SAE, K = 24, 80, 4


def samples(count: int = 600, seed: int = 0) -> torch.Tensor:
    x = 3.0 * planted(60, D_IN, active=4.0, skew=0.5).sample(count, seed=seed)[0] + normal(D_IN, seed=9)
    return x + 0.1 * normal(count, D_IN, seed=seed + 1000)  # no two alike


@pytest.mark.parametrize("count", [600, 17])
def test_directions_are_half_way_to_a_sample_each(count: int) -> None:
    x = samples(count)
    centred = x - x.mean(0)
    random = start.initial_directions(D_SAE, D_IN, 5)
    found = start.towards_samples(random, centred, 5)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(D_SAE))
    half = F.normalize(F.normalize(centred)[None] + random[:, None], dim=-1)  # every sample with every direction
    distance = (half - found[:, None]).norm(dim=-1)
    assert float(distance.min(1).values.max()) < 1e-5
    served = distance.argmin(1).bincount(minlength=count)
    assert served.max() - served.min() <= 1, "each serves as many as any other"
    assert not torch.equal(found, start.towards_samples(random, centred, 6))


def test_a_sample_at_the_mean_gives_no_nan() -> None:
    found = start.towards_samples(start.initial_directions(4, D_IN, 0), torch.zeros(2, D_IN), 0)
    assert torch.isfinite(found).all()
    assert start.encoder_length(found, torch.zeros(2, D_IN), 2) == 1.0


def test_no_other_length_of_the_encoder_reconstructs_better() -> None:
    x = samples()
    centred = x - x.mean(0)
    W = start.towards_samples(start.initial_directions(D_SAE, D_IN, 0), centred, 0)
    length = start.encoder_length(W, centred, K)

    def error(by: float) -> float:
        pre = centred.double() @ (by * W.T.double())
        return float(((F.relu(pre) * kept_of_each(pre, K)) @ W.double() - centred).square().sum())

    assert 0 < length < 1
    assert all(error(length) < error(by * length) for by in (0.5, 0.95, 1.05, 2.0))


def test_training_begins_far_better_than_at_random_and_stays_ahead() -> None:
    def figures(initial: start.Initial) -> list[float]:
        trainer = Trainer(samples(), d_sae=D_SAE, k=K, steps=60, lr=3e-3, initial=initial)
        found = []
        for number in range(30):
            trainer.step(samples(256, seed=number + 1))
            found.append(trainer.figures["fvu"])
        return found

    data, random = figures("data"), figures("random")
    assert data[0] < 0.7 * random[0]
    assert data[-1] < random[-1]


def test_the_trainer_starts_there() -> None:
    x = samples()
    trainer = Trainer(x, d_sae=D_SAE, k=K, steps=10, seed=3)
    scaled = x / trainer.scale
    centred = scaled - scaled.mean(0)
    W = start.towards_samples(start.initial_directions(D_SAE, D_IN, 3), centred, 3)
    torch.testing.assert_close(trainer.parameters["W_dec"].detach(), W, rtol=1e-4, atol=1e-5)
    length = start.encoder_length(W, centred, K)
    torch.testing.assert_close(trainer.parameters["W_enc"].detach(), length * W, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(trainer.parameters["b_dec"].detach(), scaled.mean(0))
