"""TrainingMonitor without a browser: traits, messages, threads, other forms."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pandas as pd
import pytest
from training_fakes import HOSTILE, TITLE, FakeRun

from saewidgets.widgets.shared.buffers import CHUNK, unpack
from saewidgets.widgets.shared.run.pulse import Pulse
from saewidgets.widgets.training import TrainingMonitor, TrainingRun


class Spy(TrainingMonitor):
    """A monitor whose messages are kept instead of sent."""

    def __init__(self, *args, **kwargs) -> None:
        self.sent = []
        super().__init__(*args, **kwargs)
        self.settle()

    def send(self, content, buffers=None) -> None:
        self.sent.append((time.monotonic(), content, buffers or []))

    def hear(self, **message) -> None:
        self._handle_custom_msg({"view": "v", **message}, [])

    def blobs(self, kind):
        """Every blob of a kind, joined and unpacked."""
        parts: dict[int, list[bytes]] = {}
        for _, message, buffers in self.sent:
            if message["type"] == kind:
                parts.setdefault(message["acts"], []).append(buffers[0])
        return [unpack(b"".join(part)) for part in parts.values()]

    def settle(self) -> None:
        wait_for(lambda: not self._pulse.busy)


def wait_for(true, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def tokens_of(arrays) -> np.ndarray:
    return arrays["tokens"].view("<u8")


# What it holds -------------------------------------------------------------------------------------------------


def test_it_is_what_the_run_says():
    run: TrainingRun = FakeRun(50, shown=20, state="running")
    monitor = TrainingMonitor(run)
    pd.testing.assert_frame_equal(monitor.frame, run.history)
    assert monitor.run is run
    assert repr(monitor) == f"<TrainingMonitor: running, 20 rows, {TITLE}>"
    assert monitor._status["total_tokens"] == 2_000_000


def test_the_result_is_asked_for_by_its_user_only():
    monitor = Spy(FakeRun(50, shown=20))
    monitor.hear(type="ready")
    monitor._repr_mimebundle_()
    monitor.get_state()
    with pytest.raises(AssertionError, match="never touches"):
        monitor.sae


def test_methods_and_buttons_call_the_run():
    run = FakeRun()
    monitor = Spy(run)
    monitor.pause()
    monitor.resume()
    monitor.stop()
    for name in ("pause", "resume", "stop", "sae", "__init__"):
        monitor.hear(type=name)
    assert run.calls == ["pause", "resume", "stop", "pause", "resume", "stop"]


def test_saved_state_is_small_however_long_the_history():
    assert len(json.dumps(TrainingMonitor(FakeRun(100_000, shown=100_000)).get_state())) < 200_000


# Messages ------------------------------------------------------------------------------------------------------


def test_a_view_receives_everything_in_small_pieces():
    run = FakeRun(100_000, shown=100_000, total=9_000_000_000)
    monitor = Spy(run)
    monitor.hear(type="ready")
    assert len(monitor.sent) > 1
    assert all(len(buffers[0]) <= CHUNK for _, _, buffers in monitor.sent)
    assert {message["to"] for _, message, _ in monitor.sent} == {"v"}
    ((meta, arrays),) = monitor.blobs("acts")
    assert meta["start"] == 0
    np.testing.assert_array_equal(tokens_of(arrays), run.history["tokens"])
    np.testing.assert_allclose(arrays["fvu"], run.history["fvu"], rtol=1e-6)


def test_new_rows_are_sent_once_and_in_order():
    run = FakeRun(300, shown=10)
    monitor = Spy(run)
    for _ in range(120):
        run.advance()
        time.sleep(0.002)
    monitor.settle()
    start = 10
    for meta, arrays in monitor.blobs("rows"):
        assert meta["start"] == start
        start += len(arrays["step"])
    assert start == 130


def test_at_most_eight_messages_a_second_reach_the_page():
    run = FakeRun(4000)
    monitor = Spy(run)
    began = time.monotonic()
    while time.monotonic() - began < 1.2:
        run.advance()
        time.sleep(0.001)
    monitor.settle()
    assert 4 <= len(monitor.sent) <= 13


def test_a_history_that_starts_anew_replaces_the_old():
    run = FakeRun(100, shown=60)
    monitor = Spy(run)
    run.shown = 12
    run.tell()
    monitor.settle()
    meta, arrays = monitor.blobs("rows")[-1]
    assert (meta["start"], len(arrays["step"])) == (0, 12)


def test_states_follow_the_run():
    run = FakeRun()
    monitor = Spy(run)
    run.tell("running", detail="filling the shuffle buffer")
    monitor.settle()
    assert (monitor._status["state"], monitor._status["detail"]) == ("running", "filling the shuffle buffer")
    run.tell("failed", error="FVU became NaN; the checkpoint of step 400 was kept")
    monitor.settle()
    assert "step 400" in monitor._status["error"]


def test_what_happened_before_it_listened_is_not_missed():
    class Hasty(FakeRun):
        def subscribe(self, fn, /):
            self.state, self.shown = "running", 7
            return super().subscribe(fn)

    monitor = Spy(Hasty())
    assert monitor._status["state"] == "running"
    assert len(monitor.blobs("rows")[-1][1]["step"]) == 7


def test_not_numbers_are_sent_as_such():
    run = FakeRun(10, shown=10)
    run.all.loc[9, ["loss", "fvu"]] = [np.inf, np.nan]
    monitor = Spy(run)
    monitor.hear(type="ready")
    _, arrays = monitor.blobs("acts")[0]
    assert np.isinf(arrays["loss"][9])
    assert np.isnan(arrays["fvu"][9])


def test_errors_are_shown_and_end_nothing():
    class Broken(FakeRun):
        broken = False

        @property
        def history(self):
            if self.broken:
                raise RuntimeError("no history")
            return super().history

        def pause(self):
            raise RuntimeError("cannot pause now")

    run = Broken(50)
    monitor = Spy(run)
    run.broken = True
    run.advance()
    monitor.settle()
    monitor.hear(type="pause")
    shown = [m["message"] for _, m, _ in monitor.sent if m["type"] == "failed"]
    assert shown == ["RuntimeError: no history", "RuntimeError: cannot pause now"]
    run.broken = False
    run.advance()
    monitor.settle()
    assert len(monitor.blobs("rows")) == 1


def test_a_closed_monitor_hears_nothing_and_the_run_goes_on():
    run = FakeRun()
    monitor = Spy(run)
    monitor.close()
    assert run.listeners == []
    run.advance()
    monitor.close()


def test_two_monitors_of_one_run():
    run = FakeRun(50)
    one, two = Spy(run), Spy(run)
    run.advance(5)
    one.settle()
    two.settle()
    assert [len(w.blobs("rows")[-1][1]["step"]) for w in (one, two)] == [5, 5]


# Other forms ---------------------------------------------------------------------------------------------------


def test_a_saved_page_cannot_steer_and_holds_every_row(tmp_path):
    run = FakeRun(30, shown=25, state="running", title=HOSTILE)
    run.error = HOSTILE
    monitor = TrainingMonitor(run, log_scale=True)
    state = monitor._page_state()
    assert (state["_live"], state["log_scale"], state["_status"]["state"]) == (False, True, "running")
    assert len(unpack(monitor._page_blob())[1]["step"]) == 25
    monitor.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<script") == 2
    assert "<img" not in page


def test_its_fallback_is_inert():
    run = FakeRun(30, shown=25, title=HOSTILE, state="failed")
    run.error = HOSTILE
    data, _ = TrainingMonitor(run)._repr_mimebundle_()
    assert "<script" not in data["text/html"]
    assert "<img" not in data["text/html"]
    assert "fvu" in data["text/html"]
    assert "waiting" in TrainingMonitor(FakeRun())._fallback_html()


def test_text_no_transport_carries_is_replaced():
    monitor = TrainingMonitor(FakeRun(title="a\ud83db" + "x" * 5000))
    assert repr(monitor).encode("utf-8")
    assert monitor._status["title"].startswith("a?b")
    assert len(monitor._status["title"]) < 2100


def test_one_module_with_nothing_to_load():
    esm, css = str(TrainingMonitor._esm), str(TrainingMonitor._css)
    assert esm.count("export ") == 1
    for word in ("import ", "innerHTML", "insertAdjacentHTML", "fetch(", "http:", "https:", "eval("):
        assert word not in esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in css


# Pulse ---------------------------------------------------------------------------------------------------------


def test_a_beat_follows_the_last_poke_and_the_thread_ends():
    seen, said, threads = [], [], []

    def beat():
        seen.append(len(said))
        threads.append(threading.current_thread())

    pulse, began = Pulse(beat, 50), time.monotonic()
    for number in range(200):
        said.append(number)
        pulse.poke()
        time.sleep(0.001)
    took = time.monotonic() - began
    wait_for(lambda: not pulse.busy)
    assert seen[-1] == 200
    assert len(seen) <= 50 * took + 2
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_slow_beats_leave_most_of_the_time_to_others():
    costs = []

    def beat():
        began = time.thread_time()
        while time.thread_time() - began < 0.05:
            pass
        costs.append(time.thread_time() - began)

    pulse, began = Pulse(beat, 100), time.monotonic()
    while len(costs) < 3:
        pulse.poke()
        time.sleep(0.005)
        assert time.monotonic() - began < 120
    assert sum(costs[:2]) <= 0.11 * (time.monotonic() - began)


def test_a_beat_that_waits_for_others_is_not_followed_by_silence():
    beats = []

    def beat():
        beats.append(time.monotonic())
        time.sleep(0.5)

    pulse = Pulse(beat, 100)
    pulse.poke()
    wait_for(lambda: beats)
    pulse.poke()
    wait_for(lambda: len(beats) == 2, 10)
    assert beats[1] - beats[0] < 4  # paid for with nine times its length it would be 5
