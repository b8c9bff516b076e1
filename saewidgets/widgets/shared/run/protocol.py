"""What a widget asks of a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pandas as pd

STATES = ("waiting", "running", "paused", "finished", "stopped", "failed")
OVER = ("finished", "stopped", "failed")


class TrainingRun(Protocol):
    """A training that goes on in a thread of its own; every member may be read from any thread, at once."""

    @property
    def history(self) -> pd.DataFrame:
        """One row every few steps: step, tokens, loss, fvu, l0, dead, lr, tokens_per_second, seconds."""
        ...

    @property
    def total_tokens(self) -> int:
        """Tokens after which the training ends."""
        ...

    @property
    def d_sae(self) -> int:
        """Number of features."""
        ...

    @property
    def k(self) -> int:
        """Features active on a token."""
        ...

    @property
    def title(self) -> str:
        """One line saying what is trained on what."""
        ...

    @property
    def state(self) -> str:
        """One of `STATES`."""
        ...

    @property
    def error(self) -> str:
        """Why the run failed and what was kept; empty unless it failed."""
        ...

    @property
    def detail(self) -> str:
        """One line about what happens just now, or nothing."""
        ...

    @property
    def sae(self) -> Any:
        """What was learnt; blocks until the run is over."""
        ...

    def subscribe(self, fn: Callable[[], None], /) -> Callable[[], None]:
        """Call ``fn`` from the run's thread after each new row or state; returns what ends that."""
        ...

    def pause(self) -> None:
        """Hold the training after the current step."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...

    def stop(self) -> None:
        """End the training and keep what was learnt."""
        ...
