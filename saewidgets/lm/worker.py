"""One background thread and one lock a model: long work queues here, and hooks of two callers never mix."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
_workers: weakref.WeakKeyDictionary[Any, ModelWorker] = weakref.WeakKeyDictionary()
_registry = threading.Lock()
CLOSING_SECONDS = 10.0


class Stopped(Exception):
    """The caller asked the running job to end; nothing was changed."""


class ModelWorker:
    """Runs jobs one after another on its own daemon thread.

    Attributes:
        lock: held by whoever has hooks on the model, for one forward pass at a time; see `LanguageModel.hooked`.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()
        self._running: threading.Event | None = None
        self._closed = False

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
        self._submit(_Job(job, stop, done))
        try:
            _wait(done)
        except KeyboardInterrupt:
            stop.set()
            _wait(done)  # the model is ours until the job has let go of it
            raise
        return done.result()

    def close(self) -> None:
        """Stop the running job, refuse the waiting ones, and end the thread: the model is gone, or Python is ending.

        A thread inside torch when the interpreter ends would abort the process.
        """
        with self._start:
            self._closed = True
        if self._running is not None:
            self._running.set()
        self._jobs.put(None)
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(CLOSING_SECONDS)

    def _submit(self, job: _Job) -> None:
        with self._start:
            if self._closed:
                job.done.set_exception(Stopped("the model is closed"))
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="saewidgets-model", daemon=True)
                self._thread.start()
        self._jobs.put(job)

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._running = job.stop
            try:
                if self._closed:
                    raise Stopped
                job.done.set_result(job.call(job.stop))
            except BaseException as error:  # handed to the waiting caller, whatever it is
                job.done.set_exception(error)
            self._running = None
            del job


class _Job(NamedTuple):
    call: Callable[[threading.Event], Any]
    stop: threading.Event
    done: Future[Any]


def go_on(stop: threading.Event | None) -> None:
    """Raise `Stopped` when ``stop`` is set; long jobs call it between steps."""
    if stop is not None and stop.is_set():
        raise Stopped


def _wait(done: Future[Any]) -> None:
    """In slices: on Windows, or when another thread gets the signal, Python sees an interrupt only in between."""
    while not concurrent.futures.wait([done], timeout=0.1).done:
        pass


def worker_of(module: Any) -> ModelWorker:
    """The worker of a model object; two sessions on one model share it."""
    with _registry:
        worker = _workers.get(module)
        if worker is None:
            worker = _workers[module] = ModelWorker()
            weakref.finalize(module, worker.close)  # also runs when the interpreter ends
        return worker
