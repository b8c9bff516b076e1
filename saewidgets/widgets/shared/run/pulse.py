"""A limit on how often something is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SHARE = 0.1


class Pulse:
    """Calls ``beat`` soon after `poke`, however often that comes, on a daemon thread that ends when idle.

    A beat always follows the last poke, and beats take at most a tenth of the processor's time: a beat that had to
    wait for others' work has cost little, and is not paid for with silence.

    Args:
        beat: what to do; it must not raise.
        hz: beats a second at most.
    """

    def __init__(self, beat: Callable[[], None], hz: float) -> None:
        self._beat, self._gap = beat, 1 / hz
        self._lock = threading.Lock()
        self._wanted = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a beat runs or is due."""
        return self._thread is not None

    def poke(self) -> None:
        """Ask for a beat; returns at once."""
        with self._lock:
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="saewidgets-pulse", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._due():
            began = time.thread_time()
            self._beat()
            time.sleep(max(self._gap, (time.thread_time() - began) * (1 / SHARE - 1)))

    def _due(self) -> bool:
        with self._lock:
            if not self._wanted:
                self._thread = None
                return False
            self._wanted = False
            return True
