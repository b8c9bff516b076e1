"""The latest-wins runner: no backlog, no late results."""

from __future__ import annotations

import threading
import time

from saewidgets.widgets.shared.latest import LatestRunner


class Recorder:
    """What a runner delivered, and a way to wait for it."""

    def __init__(self, work) -> None:
        self.results, self.errors, self.started = [], [], []
        self.runner = LatestRunner(self._count(work), self._done, self._failed)

    def _count(self, work):
        def counted(request, stop):
            self.started.append(request)
            return work(request, stop)

        return counted

    def _done(self, request, result) -> None:
        self.results.append((request, result))

    def _failed(self, request, error) -> None:
        self.errors.append((request, error))

    def settle(self, seconds: float = 5) -> None:
        end = time.monotonic() + seconds
        while self.runner.busy:
            assert time.monotonic() < end, "the runner never came to rest"
            time.sleep(0.005)


def test_a_result_reaches_its_receiver():
    recorder = Recorder(lambda request, stop: request * 2)
    recorder.runner.submit(21)
    recorder.settle()
    assert recorder.results == [(21, 42)]


def test_200_fast_requests_leave_no_backlog_and_the_last_wins():
    recorder = Recorder(lambda request, stop: time.sleep(0.02) or request)
    for i in range(200):
        recorder.runner.submit(i)
    recorder.settle()
    assert recorder.results[-1] == (199, 199)
    assert len(recorder.started) < 50


def test_the_running_job_is_told_to_stop_and_its_result_dropped():
    entered = threading.Event()

    def work(request, stop):
        entered.set()
        return (request, stop.wait(5)) if request == "old" else request

    recorder = Recorder(work)
    recorder.runner.submit("old")
    assert entered.wait(5)
    began = time.monotonic()
    recorder.runner.submit("new")
    recorder.settle()
    assert time.monotonic() - began < 2
    assert recorder.results == [("new", "new")]


def test_an_exception_is_delivered_and_the_runner_lives_on():
    def work(request, stop):
        if request == "bad":
            raise ValueError("no")
        return request

    recorder = Recorder(work)
    recorder.runner.submit("bad")
    recorder.settle()
    recorder.runner.submit("good")
    recorder.settle()
    assert [(request, str(error)) for request, error in recorder.errors] == [("bad", "no")]
    assert recorder.results == [("good", "good")]


def test_a_superseded_exception_is_dropped():
    entered = threading.Event()

    def work(request, stop):
        if request == "new":
            return request
        entered.set()
        stop.wait(5)
        raise RuntimeError("stopped")

    recorder = Recorder(work)
    recorder.runner.submit("old")
    assert entered.wait(5)
    recorder.runner.submit("new")
    recorder.settle()
    assert recorder.errors == []
    assert recorder.results == [("new", "new")]


def test_cancel_delivers_nothing():
    entered = threading.Event()

    def work(request, stop):
        entered.set()
        stop.wait(5)
        return request

    recorder = Recorder(work)
    recorder.runner.submit("a")
    assert entered.wait(5)
    recorder.runner.submit("b")
    recorder.runner.cancel()
    recorder.settle()
    assert recorder.results == []


def test_never_two_jobs_at_once():
    running, most = 0, 0
    lock = threading.Lock()

    def work(request, stop):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.003)
        with lock:
            running -= 1

    recorder = Recorder(work)
    for i in range(60):
        recorder.runner.submit(i)
        time.sleep(0.002)
    recorder.settle()
    assert most == 1


def test_an_idle_runner_holds_no_thread():
    recorder = Recorder(lambda request, stop: request)
    recorder.runner.submit(1)
    recorder.settle()
    time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if thread.name == "saewidgets-latest"]
