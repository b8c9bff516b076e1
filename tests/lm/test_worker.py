"""One thread a model: jobs never overlap, errors come back, an interrupt waits until the model is free."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest
from torch import nn

from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import ModelWorker, Stopped, worker_of


def test_a_job_runs_elsewhere_and_its_value_comes_back() -> None:
    worker = ModelWorker()
    names = {worker.run(lambda stop: threading.current_thread().name) for _ in range(3)}
    assert names == {"saewidgets-model"}
    assert worker.run(lambda stop: stop.is_set()) is False


def test_two_callers_never_overlap_and_all_are_served() -> None:
    worker, inside, most, served = ModelWorker(), 0, 0, []

    def job(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        inside -= 1
        return number

    def caller(first: int) -> None:
        served.extend(worker.run(lambda stop, n=n: job(n)) for n in range(first, first + 10))

    threads = [threading.Thread(target=caller, args=(10 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
    assert sorted(served) == list(range(40))


class Odd(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [ValueError("one line"), Odd("x"), SystemExit(3), StopIteration(1)])
def test_an_error_reaches_the_caller_and_the_worker_lives_on(error: BaseException) -> None:
    worker = ModelWorker()

    def job(stop: threading.Event) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        worker.run(job)
    assert caught.value is error
    assert worker.run(lambda stop: 7) == 7


def test_a_job_may_run_another_on_the_same_worker() -> None:
    worker, mine = ModelWorker(), threading.Event()
    found = worker.run(lambda stop: (stop is mine, worker.run(lambda stop: (stop is mine, 5), stop)), mine)
    assert found == (True, (True, 5))


def test_the_callers_stop_event_is_the_jobs() -> None:
    worker, stop = ModelWorker(), threading.Event()
    thread = threading.Timer(0.02, stop.set)
    thread.start()
    assert worker.run(lambda stop: stop.wait(20), stop)
    thread.join()


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals are handled by the main thread"
)
def test_an_interrupt_sets_stop_waits_and_is_raised() -> None:
    worker, stop, log = ModelWorker(), threading.Event(), []

    def job(stop: threading.Event) -> None:
        log.append("started")
        threading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()
        log.append(stop.wait(20))
        time.sleep(0.05)  # the model is still in use for a while
        log.append("let go")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            worker.run(job, stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert log == ["started", True, "let go"]
    assert stop.is_set()
    assert worker.run(lambda stop: stop.is_set()) is False


def test_one_worker_a_module(tiny_llama: LanguageModel, tiny_gpt2: LanguageModel) -> None:
    assert tiny_llama.worker is tiny_llama.worker
    assert LanguageModel(tiny_llama.module, None, "again").worker is tiny_llama.worker
    assert tiny_llama.worker is not tiny_gpt2.worker


def test_two_threads_asking_at_once_get_the_same_worker() -> None:
    module, found = nn.Linear(2, 2), []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(worker_of(module))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8 and len(set(map(id, found))) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_nobody_needs_is_collected(fails: bool) -> None:
    module = nn.Linear(2, 2)
    gone = weakref.ref(module)

    def use(module: Any, stop: threading.Event) -> Any:
        if fails:
            raise ValueError("x")
        return module.weight.shape

    try:
        worker_of(module).run(lambda stop, module=module: use(module, stop))
    except ValueError:
        assert fails
    del module
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)  # the thread drops its last job a moment after the caller has the result
    assert gone() is None


def test_python_ends_cleanly_while_a_job_runs() -> None:
    code = (
        "import threading, torch\n"
        "from saewidgets.lm.worker import worker_of\n"
        "model, started = torch.nn.Linear(300, 300), threading.Event()\n"
        "def job(stop):\n"
        "    started.set()\n"
        "    while not stop.is_set(): model(torch.ones(300, 300))\n"
        "threading.Thread(target=lambda: worker_of(model).run(job), daemon=True).start()\n"
        "started.wait()\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr


def test_the_thread_ends_with_its_model() -> None:
    model = nn.Linear(2, 2)
    worker = worker_of(model)
    worker.run(lambda stop: None)
    thread = worker._thread
    assert thread is not None and thread.is_alive()
    del model
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(Stopped):
        worker.run(lambda stop: None)
