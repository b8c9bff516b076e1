"""Planted dictionaries: what they are made of, and whether training finds them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saewidgets.analysis.recovery import toy_view
from saewidgets.sae.toy import READ, PlantedSource, planted
from saewidgets.sae.training.run import TrainingRun
from saewidgets.sae.training.start import initial_directions


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(2, 12), st.integers(0, 5))
def test_directions_have_unit_length(n_features: int, d_in: int, seed: int) -> None:
    toy = planted(n_features, d_in, seed=seed)
    assert toy.directions.shape == (n_features, d_in)
    torch.testing.assert_close(toy.directions.norm(dim=1), torch.ones(n_features))
    assert torch.equal(toy.directions, planted(n_features, d_in, seed=seed).directions)


def test_on_the_plane_they_are_spread_evenly() -> None:
    toy = planted(5, 2)
    cosine = toy.directions @ toy.directions.T
    assert cosine[0].tolist() == pytest.approx([math.cos(2 * math.pi * i / 5) for i in range(5)], abs=1e-6)


@pytest.mark.parametrize(("active", "skew"), [(0.5, 0.0), (3.0, 0.0), (2.0, 1.0), (1.0, 0.5)])
def test_samples_have_the_frequencies_and_sizes_they_should(active: float, skew: float) -> None:
    toy = planted(20, 6, active=active, skew=skew)
    assert toy.active == pytest.approx(active, rel=1e-5)
    x, acts = toy.sample(20_000, seed=3)
    torch.testing.assert_close(x, acts @ toy.directions)
    on = acts > 0
    torch.testing.assert_close(on.float().mean(0), toy.frequency, rtol=0.0, atol=0.015)
    assert 0.5 <= float(acts[on].min()) < 0.51 and 1.49 < float(acts[on].max()) <= 1.5
    assert float(acts[on].mean()) == pytest.approx(1.0, abs=0.01)
    expected = torch.arange(1, 21.0) ** -skew
    torch.testing.assert_close(toy.frequency / toy.frequency[0], expected / expected[0])
    together = (on[:, 0] & on[:, 1]).float().mean()
    assert float(together) == pytest.approx(float(toy.frequency[0] * toy.frequency[1]), abs=0.01)  # independent


def test_no_feature_is_always_on() -> None:
    assert float(planted(4, 3, active=3.9).frequency.max()) == pytest.approx(0.9)


def test_samples_are_their_seeds() -> None:
    toy = planted(6, 4)
    assert torch.equal(toy.sample(9, seed=1)[0], toy.sample(9, seed=1)[0])
    assert not torch.equal(toy.sample(9, seed=1)[0], toy.sample(9, seed=2)[0])


def test_cosine_is_that_of_directions_whatever_their_length() -> None:
    toy = planted(6, 4)
    decoder = torch.cat([3.0 * toy.directions[2:3], -toy.directions[1:2], torch.zeros(1, 4)])
    cosine = toy.cosine(decoder)
    assert cosine.shape == (6, 3)
    assert (float(cosine[2, 0]), float(cosine[1, 1])) == pytest.approx((1.0, -1.0))
    assert not cosine[:, 2].any()


def test_the_source_gives_new_samples_and_can_be_set() -> None:
    toy = planted(6, 4, active=0.3)
    source = PlantedSource(toy, seed=2)
    first, place, second = source.read(), source.place(), source.read()
    assert 0 < len(first) < READ and (first.norm(dim=1) > 0).all() and not torch.equal(first[:99], second[:99])
    again = PlantedSource(toy, seed=2)
    again.go_to(place)
    assert torch.equal(again.read(), second)
    assert not torch.equal(PlantedSource(toy, seed=3).read()[:9], first[:9])


@pytest.mark.parametrize(
    "changes",
    [
        {"n_features": 1},
        {"d_in": 1},
        {"active": 0.0},
        {"active": -1.0},
        {"active": 6.0},
        {"active": math.nan},
        {"skew": -0.1},
        {"skew": math.nan},
    ],
    ids=str,
)
def test_impossible_worlds(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a toy needs n_features ≥ 2, d_in ≥ 2"):
        planted(**{"n_features": 6, "d_in": 4, **changes})


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_training_does_not_begin_at_the_planted_directions(seed: int) -> None:
    """Random directions of one seed are the same numbers: world and training must not draw them alike."""
    world = planted(12, 6, seed=seed)
    before = world.cosine(initial_directions(18, 6, seed)).max(1).values
    assert float(before.max()) < 0.999 and float(before.mean()) < 0.8


def trained(n_features: int, d_in: int, active: float, steps: int) -> Any:
    world = planted(n_features, d_in, active=active)
    run = TrainingRun(
        PlantedSource(world),
        d_sae=n_features + n_features // 2,
        k=max(1, round(active)),
        total_tokens=steps * 256,
        batch_size=256,
        buffer_tokens=1024,
        lr=3e-2,
        initial="random",
    )
    before = toy_view(world, run)()
    run.sae
    return before, toy_view(world, run)()


def test_sixty_four_features_are_found_in_thirty_two_dimensions() -> None:
    before, after = trained(64, 32, 2.0, 250)
    assert before.matched.mean() < 0.6 < 0.95 <= after.matched.mean()
    assert after.true_directions.shape == (64, 32) and after.decoder.shape == (96, 32)
    assert after.cosine.shape == (64, 96) and after.points is None
    assert after.matched.tolist() == after.cosine.max(1).tolist()
    assert after.frame["recovered"].mean() > 0.9


def test_many_at_once_in_few_dimensions_are_not_found() -> None:
    """Twelve of 64 active at once in eight dimensions: no sparser explanation exists, and none is found."""
    _, after = trained(64, 8, 12.0, 60)
    assert after.matched.mean() < 0.9


def test_the_view_of_a_plane_has_points() -> None:
    world = planted(5, 2, active=0.5)
    run = TrainingRun(PlantedSource(world), d_sae=7, k=1, total_tokens=5120, batch_size=512, lr=1e-2)
    state = toy_view(world, run)()
    assert state.points is not None and state.points.shape[1] == 2
    assert (state.points**2).sum(1).min() > 0
    assert state.frequency.sum() == pytest.approx(0.5)
