"""The panel's model work: the newest request wins, pieces of text go out at a bounded rate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from saewidgets.records import Intervention, Kind, Steered, Sweep
from saewidgets.widgets.shared.latest import LatestRunner
from saewidgets.widgets.shared.run.pulse import Pulse
from saewidgets.widgets.steering.asked import interventions
from saewidgets.widgets.steering.chat import joined
from saewidgets.widgets.steering.protocol import Generate, Prompt, Row, Settings, SweepCall, Turn

HZ = 30


@dataclass(frozen=True, eq=False)
class Request:
    """A text to write, or with ``feature`` a sweep to run.

    Attributes:
        prompt: the text, or the last turn of a chat.
        turns: those before it; None where the prompt is no chat.
        halt: set when nobody wants the rest.
    """

    number: int
    prompt: str
    strengths: dict[int, float]
    kind: Kind
    settings: Settings
    feature: int | None = None
    swept: Sequence[float] = ()
    turns: list[Turn] | None = None
    halt: threading.Event = field(default_factory=threading.Event)

    @property
    def whole(self) -> Prompt:
        """What the model is asked to continue."""
        return joined(self.turns, self.prompt)

    def said(self) -> dict[str, Any]:
        """What was asked, as the browser is told."""
        strengths = {str(feature): strength for feature, strength in self.strengths.items()}
        asked = {"prompt": self.prompt, "turns": self.turns, "strengths": strengths, "kind": self.kind}
        return {"run": self.number, **asked, "settings": dict(self.settings)}


class Listener(Protocol):
    """Who is told; on any thread."""

    def _began(self, request: Request) -> None: ...
    def _beat(self) -> None: ...
    def _ended(self, request: Request, result: tuple[Steered, Steered] | Sweep | None) -> None: ...
    def _broke(self, request: Request, error: Exception) -> None: ...


class Runs:
    """One request at a time, one waiting; the texts of the newest.

    Args:
        generate: see `Generate`.
        sweep: see `SweepCall`, or None.
        live: what is on now.
        listener: who is told.

    Attributes:
        progress: share of a sweep that is done.
        changed: whether any word of the newest text was steered otherwise than asked at first.
        last: what was on when its last word so far was written.
    """

    def __init__(
        self,
        generate: Generate,
        sweep: SweepCall | None,
        live: Callable[[], tuple[Intervention, ...]],
        listener: Listener,
    ) -> None:
        self._generate, self._sweep, self._live, self._listener = generate, sweep, live, listener
        self._lock = threading.RLock()
        self._runner = LatestRunner(self._work, self._done, self._failed)
        self._pulse = Pulse(listener._beat, HZ)
        self._newest: Request | None = None
        self._texts: dict[Row, str] = {"bare": "", "steered": ""}
        self._sent: dict[Row, int] = {"bare": 0, "steered": 0}
        self.progress = 0.0
        self.changed = False
        self.last: tuple[Intervention, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether something runs or waits, or is yet to be told."""
        return self._runner.busy or self._pulse.busy

    def submit(self, number: int, **asked: Any) -> Request:
        """Make a request the newest; the one before is told to stop."""
        with self._lock:
            request = Request(number, **asked)
            self.halt()
            self._newest = request
            if request.feature is None:
                self._texts = {"bare": "", "steered": ""}
                self._sent = {"bare": 0, "steered": 0}
                self.changed, self.last = False, ()
            self.progress = 0.0
            # Told first, so that no end can come before its beginning.
            self._listener._began(request)
            self._runner.submit(request)
            return request

    def halt(self) -> None:
        """Ask the running request to end with what it has."""
        with self._lock:
            if self._newest is not None:
                self._newest.halt.set()

    def texts(self) -> dict[Row, str]:
        """The two texts as far as they are written."""
        with self._lock:
            return dict(self._texts)

    def unsent(self) -> tuple[dict[str, int], dict[str, str]]:
        """What each text gained since this was last asked, and where that begins, in UTF-16 units."""
        with self._lock:
            starts = {row: utf16(text[: self._sent[row]]) for row, text in self._texts.items()}
            pieces = {row: text[self._sent[row] :] for row, text in self._texts.items()}
            self._sent = {row: len(text) for row, text in self._texts.items()}
            return dict(starts), dict(pieces)

    # On the runner's thread ----------------------------------------------------------------------------------

    def _work(self, request: Request, stop: threading.Event) -> tuple[Steered, Steered] | Sweep:
        if request.feature is not None:
            return self._run_sweep(request)
        asked = interventions(request.strengths, request.kind)
        return self._generate(
            request.whole,
            asked,
            request.settings,
            lambda row, piece: self._emit(request, row, piece),
            request.halt,
            lambda: self._now(request, asked),
        )

    def _run_sweep(self, request: Request) -> Sweep:
        if self._sweep is None or request.feature is None:
            raise RuntimeError("this panel was made without sweep")
        return self._sweep(
            request.whole,
            request.feature,
            request.swept,
            request.settings,
            request.halt,
            lambda share: self._progress(request, share),
            kind=request.kind,
        )

    def _emit(self, request: Request, row: Row, piece: str) -> None:
        with self._lock:
            if request is not self._newest:
                return
            self._texts[row] += piece
        self._pulse.poke()

    def _progress(self, request: Request, share: float) -> None:
        with self._lock:
            if request is not self._newest:
                return
            self.progress = min(1.0, max(0.0, float(share)))
        self._pulse.poke()

    def _now(self, request: Request, asked: tuple[Intervention, ...]) -> tuple[Intervention, ...]:
        live = self._live()
        if request is self._newest:
            self.changed, self.last = self.changed or set(live) != set(asked), live
        return live

    def _done(self, request: Request, result: tuple[Steered, Steered] | Sweep) -> None:
        with self._lock:
            if request is not self._newest:
                return
            if not isinstance(result, Sweep):
                # What the record says is what was written, whatever pieces a view has seen.
                self._texts = {"bare": result[0].text, "steered": result[1].text}
            self._listener._ended(request, result)

    def _failed(self, request: Request, error: Exception) -> None:
        with self._lock:
            if request is not self._newest:
                return
            if request.halt.is_set():
                self._listener._ended(request, None)
            else:
                self._listener._broke(request, error)


def utf16(text: str) -> int:
    """Length of ``text`` as JavaScript counts it."""
    return len(text) + sum(ord(c) > 0xFFFF for c in text)
