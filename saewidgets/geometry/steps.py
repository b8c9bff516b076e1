"""How long work tells its caller how far it is, and is stopped."""

from __future__ import annotations

from collections.abc import Callable

Step = Callable[[str, float], None]
"""Called between steps with the name of the stage and the share of it that is done, 0 to 1; to stop the work, raise."""


def silent(stage: str, share: float) -> None:
    """Nobody listens."""
