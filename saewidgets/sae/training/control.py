"""What other threads may ask of a job on its own thread: look at it, pause it, stop it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

State = Literal["waiting", "running", "paused", "finished", "stopped", "failed"]


class StopAsked(Exception):
    """Raised on the job's own thread, between two steps."""


class Control:
    """The state of a job, its listeners, and the two events by which it is held.

    Attributes:
        state: what it does.
        detail: one line about what happens just now, or nothing.
        error: why it failed and what was kept; empty unless it failed.
    """

    def __init__(self) -> None:
        self.state: State = "waiting"
        self.detail = self.error = ""
        self._listeners: list[Callable[[], None]] = []
        self._may_run = threading.Event()
        self._may_run.set()
        self._stop = threading.Event()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` from the job's thread after each new row and change of state; returns the undoing.

        What a listener raises is logged, and the job goes on.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def pause(self) -> None:
        """Stand still after the running step."""
        if self.state in ("waiting", "running"):
            self._may_run.clear()

    def resume(self) -> None:
        """Go on after a pause."""
        self._may_run.set()

    def stop(self) -> None:
        """End after the running step, and keep what was learnt."""
        self._stop.set()
        self._may_run.set()

    def _breathe(self) -> float:
        """Stand still while paused, and return for how many seconds; leave when asked to stop."""
        stood = 0.0
        if not self._may_run.is_set():
            before = time.monotonic()
            self._tell("paused")
            self._may_run.wait()
            stood = time.monotonic() - before
            self._tell("running")
        if self._stop.is_set():
            raise StopAsked
        return stood

    def _tell(self, state: State) -> None:
        self.state = state
        self._call()

    def _call(self) -> None:
        for listener in list(self._listeners):
            try:
                listener()
            except Exception:
                logging.getLogger(__name__).exception("a listener failed; the training goes on")
