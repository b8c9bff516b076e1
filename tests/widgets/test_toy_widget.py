"""ToyPanel without a browser: what it looks at, keeps and sends."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from toy_fakes import FakeToy

from saewidgets.records import RECOVERED, ToyState
from saewidgets.widgets.shared.buffers import unpack
from saewidgets.widgets.toy import ToyPanel
from saewidgets.widgets.toy.snapshots import Recorder


class Spy(ToyPanel):
    """A panel whose messages are kept instead of sent."""

    def __init__(self, *args) -> None:
        self.sent = []
        super().__init__(*args)

    def send(self, content, buffers=None) -> None:
        self.sent.append((content, buffers or []))

    def frames(self):
        return [unpack(buffers[0]) for message, buffers in self.sent if message["type"] == "frames"]


def played(panel, toy, step: int = 1) -> None:
    """The whole run, looked at after every step."""
    toy.run.tell("running")
    while toy.run.shown < len(toy.run.all):
        panel._looked = -1
        toy.run.advance(step)
    toy.run.tell("finished")


def test_the_frame_has_a_row_for_every_direction():
    toy = FakeToy()
    panel = Spy(toy.run, toy.view)
    played(panel, toy)
    frame = panel.frame
    assert list(frame) == ["feature", "frequency", "best_sae_feature", "cosine", "recovered"]
    assert frame["recovered"].tolist().count(True) == 61
    assert frame["feature"].tolist() == list(range(64))
    np.testing.assert_array_equal(frame["recovered"], frame["cosine"] >= RECOVERED)
    np.testing.assert_allclose(toy.view().cosine[frame["feature"], frame["best_sae_feature"]], frame["cosine"])


def test_it_looks_at_most_eight_times_a_second_and_on_the_runs_thread():
    toy = FakeToy(rows=500)
    threads = []

    def view() -> ToyState:
        threads.append(threading.current_thread())
        return toy.view()

    Spy(toy.run, view)
    assert threads == [threading.main_thread()]
    toy.run.start(0.002)
    end = time.monotonic() + 10
    while toy.run.state != "finished":
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.1)
    assert 5 <= len(threads) <= 18
    assert len({thread.name for thread in threads[1:]}) == 1
    assert threading.main_thread() not in threads[1:]


def test_a_running_run_is_not_looked_at_from_another_thread():
    toy = FakeToy(shown=10, state="running")
    panel = Spy(toy.run, toy.view)
    assert toy.looks == 0
    assert unpack(panel._page_blob())[0] == {"start": 0}
    toy.run.advance()
    assert toy.looks == 1


def test_the_end_is_always_seen_and_once():
    toy = FakeToy()
    panel = Spy(toy.run, toy.view)
    toy.run.advance(100)
    toy.run.tell("stopped")
    looks = toy.looks
    toy.run.tell("stopped")
    assert toy.looks == looks
    assert panel._recorder.kept[-1] is panel._newest
    assert panel._recorder.kept[-1].tokens == 50_000


def test_at_most_sixty_snapshots_are_kept_and_a_new_view_gets_them():
    toy = FakeToy(rows=400)
    panel = Spy(toy.run, toy.view)
    played(panel, toy)
    kept = panel._recorder.kept
    assert 40 <= len(kept) <= 60
    assert (kept[0].tokens, kept[-1].tokens) == (0, 200_000)
    meta, arrays = unpack(panel._page_blob())
    assert (meta["n"], meta["d_sae"], meta["d_in"], meta["kept"]) == (64, 96, 20, len(kept))
    assert arrays["cosine"].dtype == np.int8
    assert len(arrays["cosine"]) == len(kept) * 64 * 96
    last = arrays["cosine"][-64 * 96 :].reshape(64, 96) / 127
    np.testing.assert_allclose(last, toy.view().cosine, atol=0.005)
    np.testing.assert_allclose(arrays["matched"][-64:], toy.view().matched)
    assert len(json.dumps(panel.get_state())) < 200_000


def test_each_new_frame_is_sent_and_the_scene_with_the_first():
    toy = FakeToy(5, 2, 7, found=4)
    panel = Spy(toy.run, toy.view)
    played(panel, toy, 10)
    (first, scene), *others = panel.frames()
    assert first["n"] == 5
    assert len(scene["points"]) == 3000
    assert (np.diff(scene["frequency"][scene["order"]]) <= 0).all()
    assert all("n" not in meta and "points" not in arrays for meta, arrays in others)
    assert [arrays["frame_number"].tolist() for _, arrays in panel.frames()] == [
        [i + 1] for i in range(len(others) + 1)
    ]
    assert all(len(arrays["decoder"]) == 14 for _, arrays in panel.frames())


def test_large_dictionaries_keep_fewer_snapshots():
    state = FakeToy(400, 50, 1000).view()
    recorder = Recorder(1000)
    for tokens in range(0, 1000, 4):
        recorder.add(state, tokens)
    assert 10 <= len(recorder.kept) <= 16


@pytest.mark.parametrize("part", ["cosine", "matched", "frequency"])
def test_a_view_that_does_not_fit_together_is_named_and_ends_nothing(part):
    toy = FakeToy()

    def view() -> ToyState:
        good = toy.view()
        parts = {name: getattr(good, name) for name in ("true_directions", "decoder", "cosine", "matched", "frequency")}
        return ToyState(**{**parts, part: parts[part][:3]})

    panel = Spy(toy.run, view)
    played(panel, toy, 50)
    messages = [message["message"] for message, _ in panel.sent if message["type"] == "failed"]
    assert messages
    assert all(part in message for message in messages)


def test_not_numbers_do_not_break_it():
    toy = FakeToy()

    def view() -> ToyState:
        good = toy.view()
        good.cosine[0] = np.nan
        return good

    panel = Spy(toy.run, view)
    assert [message["type"] for message, _ in panel.sent if message["type"] == "failed"] == []


def test_its_page_and_fallback_say_what_was_recovered(tmp_path):
    toy = FakeToy()
    panel = Spy(toy.run, toy.view)
    played(panel, toy, 10)
    assert "<b>61 of 64 planted directions recovered</b>" in panel._fallback_html()
    panel.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<title>64 directions planted in 20 dimensions</title>" in page
    assert len(page) < 2_000_000


def test_one_module_with_nothing_to_load():
    esm, css = str(ToyPanel._esm), str(ToyPanel._css)
    assert esm.count("export ") == 1
    for word in ("import ", "innerHTML", "insertAdjacentHTML", "fetch(", "http:", "https:", "eval("):
        assert word not in esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in css
