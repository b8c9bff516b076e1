"""The bare and the steered text of a panel, written side by side; a bare text once written is not written again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from saewidgets.records import Intervention, Steered
from saewidgets.session.steering import Steering

if TYPE_CHECKING:
    from saewidgets.analysis.write import Style
    from saewidgets.lm.below import Below


@dataclass(frozen=True)
class _Known:
    """A bare text that was written to its end, and what it answers."""

    prompt: tuple[int, ...]
    style: Style
    bare: Steered

    def answers(self, prompt: tuple[int, ...], style: Style, features: set[int]) -> bool:
        return self.prompt == prompt and self.style == style and features <= set(self.bare.features)


class Pair:
    """Writes both texts of one panel; see `widgets.steering.protocol.Generate`.

    A moved slider changes the steered text alone: where prompt, settings and features are those of the last bare text,
    that one is given again at once, and the steered text has the model to itself. What the prompt makes of the blocks
    below the hook is kept too.
    """

    def __init__(self, session: Steering) -> None:
        self._session = session
        self._known: _Known | None = None
        self._below: Below | None = None

    def __call__(
        self,
        prompt: Any,
        interventions: tuple[Intervention, ...],
        settings: Any,
        emit: Callable[[Any, str], None],
        stop: threading.Event,
        live: Callable[[], tuple[Intervention, ...]],
    ) -> tuple[Steered, Steered]:
        """The bare and the steered text as two rows of one batch, or the steered one beside the bare one known."""
        from saewidgets.analysis.trace import Trace
        from saewidgets.lm.below import Below

        session, options = self._session, dict(settings)
        tokens = session._prompt(prompt, options.pop("chat", None))
        style, changes = session._style(**options), session._checked(interventions)
        features = list(dict.fromkeys(change.feature for change in changes))
        self._below = self._below or Below(session.model, session.hook_name)
        steerer = replace(session._steerer(changes, measured=True), below=self._below)
        trace = Trace(session.sae, steerer.units.maxima, features)
        known = self._known
        bare = known.bare if known is not None and known.answers(tokens.ids, style, set(features)) else None
        before = [] if bare else [()]
        if bare and bare.text:
            emit("bare", bare.text)
        written = session._run(
            lambda stop: steerer.write(
                [tokens] * (len(before) + 1),
                [*before, changes],
                style,
                trace=trace,
                live=lambda: [*before, tuple(live())],
                emits=[lambda piece, row=row: emit(row, piece) for row in ("bare", "steered")[-len(before) - 1 :]],
                stop=stop,
            ),
            stop,
        )
        bare = bare or written[0].steered
        self._known = _Known(tokens.ids, style, bare)
        return bare, written[-1].steered
