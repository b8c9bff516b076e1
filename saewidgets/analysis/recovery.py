"""How much of a planted dictionary a training run has found so far."""

from __future__ import annotations

from collections.abc import Callable

from saewidgets.records import ToyState
from saewidgets.sae.toy import Planted
from saewidgets.sae.training.run import TrainingRun

POINTS = 400  # samples drawn where the toy has two dimensions


def toy_view(world: Planted, run: TrainingRun) -> Callable[[], ToyState]:
    """A function that says what ``run`` has learnt of ``world`` at the moment it is called."""
    points = None
    if world.directions.shape[1] == 2:
        x, _ = world.sample(2 * POINTS, seed=POINTS)
        points = x[x.square().sum(1) > 0][:POINTS].numpy()

    def view() -> ToyState:
        decoder = run.directions(world.directions.shape[1])
        cosine = world.cosine(decoder)
        return ToyState(
            true_directions=world.directions.numpy(),
            decoder=decoder.numpy(),
            cosine=cosine.numpy(),
            matched=cosine.max(1).values.numpy(),
            frequency=world.frequency.numpy(),
            points=points,
        )

    return view
