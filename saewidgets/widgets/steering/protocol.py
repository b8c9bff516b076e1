"""What the panel asks of whoever runs the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, TypedDict, get_args

import pandas as pd

from saewidgets.records import Intervention, Kind, Steered, Sweep, Where

KINDS: tuple[Kind, ...] = get_args(Kind)
PLACES: tuple[Where, ...] = get_args(Where)

Turn = dict[str, str]
"""A message of a chat, ``{"role": …, "content": …}``."""

Prompt = str | list[Turn]
"""What to continue: text, or a whole chat that ends with the user's turn."""

Row = Literal["bare", "steered"]
Emit = Callable[[Row, str], None]
Live = Callable[[], tuple[Intervention, ...]]


class Settings(TypedDict):
    """How a text is written; the names of the keyword arguments of `Session.generate`."""

    where: Where
    """Which tokens are steered."""
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    chat: bool | None
    """Whether the prompt goes into the chat template; None where the model has one."""


class Generate(Protocol):
    """Writes the bare and the steered text side by side."""

    def __call__(
        self,
        prompt: Prompt,
        interventions: tuple[Intervention, ...],
        settings: Settings,
        emit: Emit,
        stop: threading.Event,
        live: Live,
    ) -> tuple[Steered, Steered]:
        """The bare and the steered result, each following the features of ``interventions`` (and of ``live``).

        Blocks; called on a thread of the panel's. Texts are whole characters only: the concatenated pieces of a row
        are its `Steered.text`.

        Args:
            prompt: what to continue.
            interventions: what is on when it starts; empty writes the bare text twice, until ``live`` says more.
            settings: how to write.
            emit: call it with ``"bare"`` or ``"steered"`` and a piece of that row's text as soon as there is one.
            stop: set when nobody wants the rest: return what there is, or raise.
            live: what is on now; to be read at every token, so that a moved slider steers the tokens that follow.
        """
        ...


class SweepCall(Protocol):
    """Continues a prompt at many strengths of one feature."""

    def __call__(
        self,
        prompt: Prompt,
        feature: int,
        strengths: Sequence[float],
        settings: Settings,
        stop: threading.Event,
        progress: Callable[[float], None],
        *,
        kind: Kind,
    ) -> Sweep:
        """The texts with bare row and controls; ``progress`` takes the share done, 0 to 1; blocks.

        ``stop`` is set when nobody wants the rest: raise.
        """
        ...


Search = Callable[[str], pd.DataFrame]
"""Features for a query, best first: columns feature, label; others are ignored."""


class About(NamedTuple):
    """What is shown of a feature beside its slider."""

    label: str
    """Empty where unknown."""
    maximum: float
    """Native feature_acts; NaN where unknown."""
    note: str = ""
    """A line below the slider: what was measured of it."""


Describe = Callable[[int], About]
"""What is known of a feature; may block."""
