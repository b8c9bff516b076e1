"""A background runner that keeps only the newest request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class LatestRunner(Generic[Request, Result]):
    """Runs ``work`` on a daemon thread for the newest request only; results of superseded requests are dropped.

    At most one job runs at a time and at most one waits. The thread starts with the first request and ends when
    nothing waits, so an idle runner holds no thread.

    Args:
        work: computes a result; its event is set once a newer request has arrived.
        done: receives the request and its result, on the runner's thread.
        failed: receives the request and the exception, on the runner's thread.
    """

    def __init__(
        self,
        work: Callable[[Request, threading.Event], Result],
        done: Callable[[Request, Result], None],
        failed: Callable[[Request, Exception], None],
    ) -> None:
        self._work, self._done, self._failed = work, done, failed
        self._lock = threading.Lock()
        self._waiting: list[tuple[Request, threading.Event]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._thread is not None

    def submit(self, request: Request) -> None:
        """Make ``request`` the newest: the running job is told to stop, a waiting one is forgotten."""
        with self._lock:
            self._stop.set()
            self._stop = threading.Event()
            self._waiting = [(request, self._stop)]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="saewidgets-latest", daemon=True)
                self._thread.start()

    def cancel(self) -> None:
        """Tell the running job to stop and forget the waiting one; neither result is delivered."""
        with self._lock:
            self._stop.set()
            self._waiting = []

    def _run(self) -> None:
        while job := self._next():
            self._do(*job)

    def _next(self) -> tuple[Request, threading.Event] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.pop()
            self._thread = None
            return None

    def _do(self, request: Request, stop: threading.Event) -> None:
        try:
            result = self._work(request, stop)
        except Exception as error:
            if not stop.is_set():
                self._failed(request, error)
            return
        if not stop.is_set():
            self._done(request, result)
