"""One background thread a model: everything that runs the model queues here, so hooks of two callers never mix."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_workers: weakref.WeakKeyDictionary[Any, ModelWorker] = weakref.WeakKeyDictionary()
_registry = threading.Lock()


class Stopped(Exception):
    """The caller asked the running job to end; nothing was changed."""


class ModelWorker:
    """Runs jobs one after another on its own daemon thread."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()

    def run(self, job: Callable[[threading.Event], T], stop: threading.Event | None = None) -> T:
        """Run ``job(stop)`` on the worker and wait; an interrupt sets ``stop``, and is raised when the job has ended.

        Example:
            >>> worker_of(module).run(lambda stop: 1 + 1)
            2
        """
        stop = stop or threading.Event()
        if threading.current_thread() is self._thread:
            return job(stop)
        done: Future[T] = Future()
        self._submit(lambda: job(stop), done)
        try:
            _wait(done)
        except KeyboardInterrupt:
            stop.set()
            _wait(done)  # the model is ours until the job has let go of it
            raise
        return done.result()

    def _submit(self, call: Callable[[], Any], done: Future[Any]) -> None:
        with self._start:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="saewidgets-model", daemon=True)
                self._thread.start()
        self._jobs.put((call, done))

    def _loop(self) -> None:
        while True:
            call, done = self._jobs.get()
            try:
                done.set_result(call())
            except BaseException as error:  # handed to the waiting caller, whatever it is
                done.set_exception(error)
            del call, done


def _wait(done: Future[Any]) -> None:
    """In slices: on Windows, or when another thread gets the signal, Python sees an interrupt only in between."""
    while not concurrent.futures.wait([done], timeout=0.1).done:
        pass


def worker_of(module: Any) -> ModelWorker:
    """The worker of a model object; two sessions on one model share it."""
    with _registry:
        return _workers.setdefault(module, ModelWorker())
