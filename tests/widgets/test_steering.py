"""SteeringPanel without a browser: what it asks of the model, what it tells its views."""

from __future__ import annotations

import base64
import json
import re
import threading
import time

import numpy as np
import pytest
import traitlets
from steering_fakes import BARE, CHAT, HOSTILE, LABELS, FakeModel, word_at

from saewidgets.records import Steered, add, at_least, clamp
from saewidgets.widgets.shared.buffers import unpack
from saewidgets.widgets.steering import SteeringPanel, asked

WAIT = 20


class Heard:
    """Keeps what a panel sends."""

    def __init__(self, panel: SteeringPanel) -> None:
        self.sent, self.times = [], []
        panel.send = self._send  # pyright: ignore[reportAttributeAccessIssue]

    def _send(self, content, buffers=None) -> None:
        self.times.append(time.monotonic())
        self.sent.append((content, buffers or []))

    def of(self, kind: str) -> list:
        return [(message, buffers) for message, buffers in self.sent if message["type"] == kind]

    def texts(self, run: int) -> dict[str, str]:
        """The texts as a view puts them together."""
        texts = {"bare": "", "steered": ""}
        for message, _ in self.of("text"):
            if message["run"] != run:
                continue
            for row, piece in message["pieces"].items():
                kept = texts[row].encode("utf-16-le")[: 2 * message["starts"][row]].decode("utf-16-le")
                texts[row] = kept + piece
        return texts


def ask(panel: SteeringPanel, kind: str, strengths=None, **more) -> None:
    """What a view sends."""
    given = {
        "prompt": panel.prompt,
        "strengths": {str(f): m for f, m in (panel.strengths if strengths is None else strengths).items()},
        "kind": panel.kind,
        "settings": dict(panel.settings),
    }
    panel._on_message(panel, {"type": kind, "view": "v", "asked": given, **more}, [])


def written(panel: SteeringPanel) -> tuple[Steered, Steered]:
    """The bare and the steered text of a panel that has written."""
    assert panel.results is not None
    return panel.results


def until(condition, seconds: float = WAIT) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


# Writing -------------------------------------------------------------------------------------------------------


def test_both_texts_arrive_whole_and_in_order():
    model = FakeModel()
    panel = model.panel(strengths={8192: 1.0, 7: 6.0})
    heard = Heard(panel)
    panel.write()
    panel.wait(WAIT)
    bare, steered = written(panel)
    changes = (clamp(8192, 1.0), clamp(7, 6.0))
    assert bare.text == " ".join(BARE[i % len(BARE)] for i in range(60))
    assert steered.text == " ".join(word_at(i, changes, 0) for i in range(60))
    assert any(ord(c) > 0xFFFF for c in " ".join(word_at(i, changes, 0) for i in range(60)))
    assert heard.texts(1) == {"bare": bare.text, "steered": steered.text}
    assert model.asked == [("Who are you?", changes, dict(asked.DEFAULTS))]


def test_pieces_go_out_at_most_thirty_times_a_second():
    panel = FakeModel(gap=0.002).panel(strengths={8192: 4.0}, max_new_tokens=200)
    heard = Heard(panel)
    panel.write()
    panel.wait(WAIT)
    count = len(heard.of("text"))
    assert 2 <= count <= 200
    times = [at for at, (message, _) in zip(heard.times, heard.sent, strict=True) if message["type"] == "text"]
    assert min(np.diff(times)) > 0.03


def test_the_frame_and_the_tokens_say_what_was_written():
    panel = FakeModel().panel(strengths={8192: 4.0})
    assert list(panel.frame)[:4] == ["source", "feature", "kind", "strength"]
    with pytest.raises(ValueError, match="write"):
        _ = panel.tokens
    panel.write()
    panel.wait(WAIT)
    frame = panel.frame
    assert frame["kind"].tolist() == ["bare", "steered"]
    assert frame["strength"].iloc[1] == 4.0
    assert 3.4 < frame["readback"].iloc[1] < 4.0
    tokens = panel.tokens
    assert tokens["part"].value_counts().to_dict() == {"generated": 60, "prompt": 4}
    assert not tokens["modified"].iloc[0]
    assert (tokens["requested"].iloc[1:] == 4.0).all()
    panel.run_sweep(8192)
    panel.wait(WAIT)
    swept = panel.frame.query("source == 'swept'")
    assert swept["kind"].tolist().count("steered") == 17
    assert swept.query("sweet_spot")["strength"].tolist() == [4.0]
    assert set(swept["kind"]) == {"bare", "steered", "random", "control", "prompt"}


def test_a_moved_strength_steers_the_words_that_follow():
    model = FakeModel(gap=0.004)
    panel = model.panel(strengths={8192: 0.5}, max_new_tokens=4000)
    panel.write()
    until(lambda: len(model.live_seen) > 10)
    panel.strengths = {8192: 10.0}
    until(lambda: model.live_seen[-1] == (clamp(8192, 10.0),))
    panel.stop()
    panel.wait(WAIT)
    requested = panel.tokens["requested"].to_numpy()[4:]
    assert requested[0] == 0.5
    assert requested[-1] == 10.0
    assert (np.diff(requested) >= 0).all()
    assert len(model.asked) == 1, "the text goes on, it does not begin anew"
    said = panel._written()
    assert said is not None
    assert said["changed"]
    assert said["last"] == {"8192": 10.0}


def test_what_is_switched_on_while_it_writes_steers_too():
    model = FakeModel(gap=0.004)
    panel = model.panel(max_new_tokens=4000)
    panel.write()
    until(lambda: len(model.live_seen) > 5)
    panel.strengths = {42: 3.0}
    until(lambda: model.live_seen[-1] == (clamp(42, 3.0),))
    panel.stop()
    panel.wait(WAIT)
    assert written(panel)[1].features == (42,)
    assert not written(panel)[1].modified[:9].any()
    assert written(panel)[1].modified[-1]


def test_stop_keeps_what_there_is():
    model = FakeModel(gap=0.01)
    panel = model.panel(strengths={8192: 4.0}, max_new_tokens=2000)
    panel.write()
    until(lambda: len(model.live_seen) > 5)
    panel.stop()
    panel.wait(WAIT)
    assert panel._status["state"] == "stopped"
    assert model.stops == 1
    assert 5 <= written(panel)[1].str_tokens.__len__() < 2000
    assert panel._runs.texts()["steered"] == written(panel)[1].text


def test_a_callable_that_raises_when_stopped_leaves_the_text_and_no_error():
    def generate(prompt, interventions, settings, emit, stop, live):
        emit("bare", "begun")
        emit("steered", "begun")
        assert stop.wait(WAIT)
        raise RuntimeError("stopped")

    panel = SteeringPanel(generate, d_sae=10, prompt="x", strengths={1: 1.0})
    panel.write()
    until(lambda: panel._runs.texts()["bare"])
    panel.stop()
    panel.wait(WAIT)
    assert (panel._status["state"], panel._status["error"]) == ("stopped", "")
    assert panel._runs.texts() == {"bare": "begun", "steered": "begun"}
    assert panel.results is None


def test_200_requests_leave_no_backlog_and_the_last_wins():
    model = FakeModel(gap=0.01)
    panel = model.panel(strengths={8192: 1.0}, max_new_tokens=12)
    for i in range(200):
        ask(panel, "write", {8192: round(i / 20, 2)})
    begun = len(model.asked)
    panel.wait(WAIT)
    assert panel._run == 200
    assert panel.strengths == {8192: 9.95}
    assert panel._request is not None
    assert panel._request.strengths == {8192: 9.95}
    assert set(panel.tokens["requested"].dropna()) == {np.float32(9.95)}
    assert len(model.asked) <= begun + 2, "one may run and one wait"
    assert panel._status == {"state": "idle", "run": 200, "progress": 0.0, "error": "", "feature": None}


def test_200_strengths_while_it_writes_start_nothing():
    model = FakeModel(gap=0.005)
    panel = model.panel(strengths={8192: 1.0}, max_new_tokens=4000)
    heard = Heard(panel)
    panel.write()
    until(lambda: len(model.live_seen) > 2)
    for i in range(200):
        panel.set_state({"strengths": {"8192": i / 20}})
    until(lambda: model.live_seen[-1] == (clamp(8192, 9.95),))
    panel.stop()
    panel.wait(WAIT)
    assert len(model.asked) == 1
    assert heard.texts(1)["steered"] == written(panel)[1].text


def test_a_message_half_taken_in_steers_nothing():
    panel = FakeModel().panel(strengths={8192: 1.0})
    with panel.hold_trait_notifications():  # as ipywidgets does while it takes in what a browser sent
        panel.strengths = {"8192": 99.0, "no": 1}  # pyright: ignore[reportAttributeAccessIssue]
        assert panel._now() == (clamp(8192, 1.0),)
        panel.strengths = {"8192": 2.0}  # pyright: ignore[reportAttributeAccessIssue]
        assert panel._now() == (clamp(8192, 1.0),)
    assert panel._now() == (clamp(8192, 2.0),)
    panel.kind = "add"
    assert panel._now() == (add(8192, 1.0),)


def test_late_words_of_a_superseded_text_are_dropped():
    started, go = threading.Event(), threading.Event()
    late = []

    def generate(prompt, interventions, settings, emit, stop, live):
        if prompt == "old":
            late.append(emit)
            started.set()
            stop.wait(WAIT)
            go.wait(WAIT)
        emit("bare", prompt)
        emit("steered", prompt)
        row = FakeModel().generate(prompt, (), {**settings, "max_new_tokens": 1}, lambda *_: None, stop, tuple)[0]
        return row, row

    panel = SteeringPanel(generate, d_sae=10, prompt="old")
    panel.write()
    assert started.wait(WAIT)
    panel.prompt = "new"
    panel.write()
    late[0]("steered", "WRONG")
    go.set()
    panel.wait(WAIT)
    assert panel._request is not None
    assert panel._request.prompt == "new"
    assert "WRONG" not in panel._runs.texts()["steered"]


# Chats ---------------------------------------------------------------------------------------------------------


def test_a_chat_is_continued_whole_with_its_last_turn_edited():
    model = FakeModel()
    panel = model.panel(prompt=CHAT, strengths={8192: 4.0})
    assert (panel.prompt, panel.turns) == ("Who are you?", CHAT[:-1])
    panel.write()
    panel.wait(WAIT)
    panel.prompt = "And then?"
    ask(panel, "write")
    panel.wait(WAIT)
    panel.run_sweep(8192, [2.0])
    panel.wait(WAIT)
    edited = [*CHAT[:-1], {"role": "user", "content": "And then?"}]
    assert [prompt for prompt, *_ in model.asked] == [CHAT, edited]
    assert model.swept[0][0] == edited
    meta, _ = unpack(panel._page_blob())
    for made in (meta["written"], meta["sweeps"][0]):
        assert (made["prompt"], made["turns"]) == ("And then?", CHAT[:-1])


def test_the_frame_of_a_chat_holds_it_and_that_of_a_string_is_as_ever():
    panel = FakeModel().panel(strengths={8192: 4.0})
    panel.write()
    panel.wait(WAIT)
    assert "chat" not in panel.frame
    panel.turns = CHAT[:-1]  # type: ignore[assignment]
    panel.run_sweep(8192, [2.0])
    panel.wait(WAIT)
    frame = panel.frame
    assert set(frame.query("source == 'written'")["chat"].isna()) == {True}
    assert frame.query("source == 'swept'")["chat"].tolist() == [CHAT] * len(panel.sweeps[8192])
    panel.write()
    panel.wait(WAIT)
    assert panel.frame["chat"].tolist() == [CHAT] * len(panel.frame)


def test_a_chat_of_one_turn_is_a_chat():
    model = FakeModel()
    panel = model.panel(prompt=CHAT[-1:])
    assert (panel.prompt, panel.turns) == ("Who are you?", [])
    assert model.panel().turns is None
    panel.write()
    panel.wait(WAIT)
    assert model.asked[0][0] == CHAT[-1:]


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        ([], ValueError, "the chat is empty: give at least one message"),
        (CHAT[:-1], ValueError, "the chat ends with the assistant's turn: end it with the user's"),
        (CHAT[:1], ValueError, "the chat ends with the system's turn: end it with the user's"),
        (["Hi"], ValueError, "turn 1 must be"),
        ([{"role": "user"}], ValueError, "nothing else, got role"),
        ([CHAT[0], {**CHAT[-1], "name": "x"}], ValueError, "turn 2 must be"),
        ([{"role": "user", "content": None}], ValueError, "the content of turn 1 must be a string, got NoneType"),
        ([{"role": 3, "content": "x"}], ValueError, "the role of turn 1 must be a string, got int"),
        (5, TypeError, "the prompt must be a string or a chat, got int"),
    ],
)
def test_what_is_no_chat_to_answer_is_refused(prompt, error, words):
    with pytest.raises(error, match=re.escape(words)):
        FakeModel().panel(prompt=prompt)


def test_a_chat_in_a_saved_page_and_in_the_fallback(tmp_path):
    panel = FakeModel().panel(strengths={8192: 4.0}, prompt=[{"role": HOSTILE, "content": HOSTILE}, *CHAT])
    panel.write()
    panel.wait(WAIT)
    panel.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[0])
    assert data["state"]["turns"] == [{"role": HOSTILE, "content": HOSTILE}, *CHAT[:-1]]
    assert page.count("<script") == 2
    shown = panel._fallback_html()
    assert "<script" not in shown and "<img" not in shown
    for turn in CHAT:
        assert turn["role"] in shown and turn["content"] in shown


# Errors --------------------------------------------------------------------------------------------------------


def test_an_exception_is_shown_and_the_panel_lives_on():
    model = FakeModel()
    panel = model.panel(strengths={8192: 4.0})
    model.fail = ValueError(f"the prompt is empty: give at least one word{HOSTILE}\nsecond line")
    panel.write()
    panel.wait(WAIT)
    assert panel._status["state"] == "failed"
    assert panel._status["error"].startswith("the prompt is empty: give at least one word</script>")
    assert "second" not in panel._status["error"]
    json.dumps(panel.get_state(), default=str).encode("utf-8")
    model.fail = None
    panel.write()
    panel.wait(WAIT)
    assert (panel._status["state"], panel._status["error"]) == ("idle", "")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("strengths", {8192: float("nan")}, "from -10 to 10"),
        ("strengths", {8192: float("inf")}, "from -10 to 10"),
        ("strengths", {8192: 11}, "from -10 to 10"),
        ("strengths", {8192: True}, "from -10 to 10"),
        ("strengths", {99_999: 1.0}, "features 0 to 16383"),
        ("strengths", {"bridge": 1.0}, "no feature 'bridge'"),
        ("strengths", [1], "expected a dict"),
        ("feature", -1, "no feature -1"),
        ("feature", 1.5, "no feature 1.5"),
        ("features", list(range(9)), "at most 8"),
        ("features", None, "expected a list"),
        ("turns", [{"role": "user"}], "turn 1 must be"),
        ("turns", 3, "expected a list"),
        ("settings", {"sead": 1}, "unknown setting 'sead'"),
        ("settings", {"seed": -1}, "seed must be"),
        ("settings", {"temperature": float("nan")}, "temperature must be"),
        ("settings", {"max_new_tokens": 0}, "max_new_tokens must be"),
        ("settings", {"top_p": 0}, "top_p must be"),
        ("settings", {"where": "here"}, "where must be one of both"),
        ("settings", {"chat": "yes"}, "chat must be"),
        ("kind", "push", "clamp"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(name, value, words):
    panel = FakeModel().panel(strengths={8192: 4.0})
    before = {each: getattr(panel, each) for each in ("strengths", "feature", "features", "settings", "kind")}
    with pytest.raises(traitlets.TraitError, match=re.escape(words)):
        setattr(panel, name, value)
    assert {each: getattr(panel, each) for each in before} == before


def test_a_view_that_asks_nonsense_is_told():
    panel = FakeModel().panel(strengths={8192: 4.0})
    ask(panel, "write", {99_999: 1.0})
    assert "there is no feature 99999" in panel._status["error"]
    ask(panel, "sweep", feature=-4)
    assert "there is no feature -4" in panel._status["error"]
    assert panel._run == 0


def test_what_it_was_made_without_is_said():
    panel = FakeModel().panel(sweep=None, search=None, describe=None, strengths={8192: 1.0})
    with pytest.raises(ValueError, match="without sweep"):
        panel.run_sweep(8192)
    assert panel._can["sweep"] is False
    with pytest.raises(ValueError, match="which feature"):
        FakeModel().panel().run_sweep()


# Traits --------------------------------------------------------------------------------------------------------


def test_a_feature_clicked_elsewhere_gets_a_slider_switched_off():
    panel = FakeModel().panel(strengths={8192: 4.0})
    panel.feature = np.int64(42)  # type: ignore[assignment]  # numpy's numbers are taken too
    assert panel.features == [8192, 42]
    assert panel.strengths == {8192: 4.0}
    panel.wait(WAIT)
    assert panel._labels["42"] == {"label": LABELS[42], "maximum": 12.5, "note": ""}


def test_taking_a_feature_away_switches_it_off():
    panel = FakeModel().panel(strengths={8192: 4.0, 42: -1.0})
    panel.feature = 42
    panel.features = [8192]
    assert panel.strengths == {8192: 4.0}
    assert panel.feature is None


def test_none_is_off_and_zero_is_not():
    panel = FakeModel().panel(strengths={8192: None, 42: 0})
    assert panel.features == [8192, 42]
    assert panel.strengths == {42: 0.0}
    panel.write()
    panel.wait(WAIT)
    assert written(panel)[1].features == (42,)
    panel.reset()
    assert panel.strengths == {}
    assert panel.features == [8192, 42]


def test_strengths_travel_as_the_browser_writes_them():
    panel = FakeModel().panel(strengths={8192: 4.0})
    assert panel.get_state("strengths")["strengths"] == {"8192": 4.0}
    panel.set_state({"strengths": {"8192": 6, "42": 0}, "features": [8192, 42]})
    assert panel.strengths == {8192: 6.0, 42: 0.0}


def test_interventions_of_one_kind_are_read():
    model = FakeModel()
    panel = model.panel(strengths=[at_least(8192, 3.0), at_least(42, 1.0)])
    assert (panel.kind, panel.strengths) == ("at_least", {8192: 3.0, 42: 1.0})
    assert model.panel(strengths=add(8192, 0.3)).kind == "add"
    with pytest.raises(ValueError, match="one way"):
        model.panel(strengths=[clamp(1, 2.0), add(2, 0.1)])
    panel.kind = "add"
    assert panel.strengths == {8192: 1.0, 42: 1.0}


def test_settings_reach_the_model():
    model = FakeModel()
    panel = model.panel(strengths={8192: 4.0}, seed=3, where="generation", max_new_tokens=5, temperature=1)
    panel.write()
    panel.wait(WAIT)
    assert model.asked[0][2] == {
        **asked.DEFAULTS,
        "seed": 3,
        "where": "generation",
        "max_new_tokens": 5,
        "temperature": 1.0,
    }
    assert not written(panel)[1].modified[:4].any()
    with pytest.raises(traitlets.TraitError, match="unknown setting 'tokens'"):
        model.panel(tokens=3)


# Sweeps --------------------------------------------------------------------------------------------------------


def test_a_sweep_is_recorded_and_its_progress_told():
    model = FakeModel(gap=0.003)
    panel = model.panel(strengths={8192: 4.0})
    told = []
    panel.observe(lambda change: told.append(change["new"]["progress"]), "_status")
    ask(panel, "sweep", feature=8192)
    panel.wait(WAIT)
    assert model.swept == [("Who are you?", 8192, asked.SWEEPS["clamp"], dict(asked.DEFAULTS), "clamp")]
    assert panel.sweeps[8192].strengths == asked.SWEEPS["clamp"]
    assert len(told) > 2
    assert told[:-1] == sorted(told[:-1])


def test_a_stopped_sweep_leaves_the_one_before():
    model = FakeModel(gap=0.01)
    panel = model.panel(strengths={8192: 4.0})
    panel.run_sweep(8192, [1.0, 2.0])
    panel.wait(WAIT)
    first = panel.sweeps[8192]
    panel.run_sweep(8192)
    until(lambda: panel._status["progress"] > 0)
    panel.stop()
    panel.wait(WAIT)
    assert panel.sweeps[8192] is first
    assert panel._status["state"] == "stopped"


def test_each_kind_has_seventeen_ascending_strengths_within_its_limits():
    for kind, strengths in asked.SWEEPS.items():
        low, high = asked.LIMITS[kind]
        assert len(strengths) == 17
        assert list(strengths) == sorted(set(strengths))
        assert low <= strengths[0] < strengths[-1] <= high


# Search --------------------------------------------------------------------------------------------------------


def test_search_answers_the_newest_question_only():
    model = FakeModel(gap=0.05)
    panel = model.panel()
    heard = Heard(panel)
    for query in ("b", "br", "bridge"):
        panel._on_message(panel, {"type": "search", "view": "v", "query": query}, [])
    until(lambda: heard.of("found"))
    panel._on_message(panel, {"type": "search", "view": "v", "query": "boom"}, [])
    until(lambda: len(heard.of("found")) > 1)
    answers = [message for message, _ in heard.of("found")]
    assert answers[0]["query"] == "bridge"
    assert answers[0]["found"] == [[8192, "Golden Gate Bridge"]]
    assert answers[1]["error"] == "the index is broken: scan again"


# What views are told -------------------------------------------------------------------------------------------


def test_a_new_view_gets_everything_even_half_way():
    model = FakeModel(gap=0.01)
    panel = model.panel(strengths={8192: 4.0}, max_new_tokens=900)
    panel.run_sweep(8192, [2.0, 4.0])
    panel.wait(WAIT)
    heard = Heard(panel)
    panel.write()
    until(lambda: len(model.live_seen) > 5)
    panel._on_message(panel, {"type": "ready", "view": "late"}, [])
    message, buffers = heard.of("acts")[0]
    meta, _ = unpack(buffers[0])
    assert message["to"] == "late"
    assert meta["written"]["texts"]["bare"].startswith("I am an")
    assert meta["written"]["rows"] is None
    assert [row["strength"] for row in meta["sweeps"][0]["rows"] if row["kind"] == "steered"] == [2.0, 4.0]
    panel.stop()
    panel.wait(WAIT)


def test_numbers_a_token_are_found_where_the_row_says():
    panel = FakeModel().panel(strengths={8192: 4.0, 42: 1.5})
    panel.write()
    panel.run_sweep(8192)
    panel.wait(WAIT)
    panel.write()
    panel.wait(WAIT)
    meta, arrays = unpack(panel._page_blob())
    pairs = [(meta["written"]["rows"]["steered"], written(panel)[1])]
    pairs += list(zip(meta["sweeps"][0]["rows"], [row.steered for row in panel.sweeps[8192].rows], strict=True))
    for row, record in pairs:
        n, k = len(row["tokens"]), len(row["features"])
        for name in ("requested", "readback"):
            np.testing.assert_array_equal(
                arrays[name][row["cell"] : row["cell"] + n * k].reshape(n, k), getattr(record, name)
            )
        for name in ("modified", "skipped"):
            np.testing.assert_array_equal(arrays[name][row["at"] : row["at"] + n], getattr(record, name))


def test_the_first_view_begins_to_write_what_was_asked_for():
    model = FakeModel()
    panel = model.panel(strengths={8192: 4.0})
    for _ in range(2):
        panel._on_message(panel, {"type": "ready", "view": "v", "first": True}, [])
        panel.wait(WAIT)
    assert len(model.asked) == 1
    silent = model.panel()
    silent._on_message(silent, {"type": "ready", "view": "v", "first": True}, [])
    silent.wait(WAIT)
    assert len(model.asked) == 1


def test_two_panels_do_not_meet():
    model = FakeModel(gap=0.002)
    one, two = model.panel(strengths={8192: 8.0}), model.panel(strengths={42: 8.0}, prompt="Another?")
    one.write()
    two.write()
    one.wait(WAIT)
    two.wait(WAIT)
    assert written(one)[1].features == (8192,)
    assert written(two)[1].features == (42,)
    assert "sea" in written(two)[1].text or "waves" in written(two)[1].text
    assert "waves" not in written(one)[1].text


def test_the_saved_state_is_small_and_closing_stops():
    model = FakeModel(gap=0.01)
    panel = model.panel(strengths={8192: 4.0}, max_new_tokens=3000)
    panel.write()
    until(lambda: len(model.live_seen) > 3)
    assert len(json.dumps(panel.get_state(), default=str)) < 200_000
    panel.close()
    panel.wait(WAIT)
    assert model.stops == 1


# Saved pages ---------------------------------------------------------------------------------------------------


def test_a_saved_page_holds_texts_and_sweeps_and_cannot_run(tmp_path):
    panel = FakeModel().panel(strengths={8192: 4.0}, prompt=HOSTILE)
    panel.write()
    panel.run_sweep(8192)
    panel.wait(WAIT)
    panel.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[0])
    assert data["state"]["_live"] is False
    assert data["state"]["_status"]["state"] == "idle"
    assert data["state"]["strengths"] == {"8192": 4.0}
    meta, _ = unpack(base64.b64decode(data["blob"]))
    assert len(meta["sweeps"][0]["rows"]) == len(panel.sweeps[8192].rows)
    assert page.count("<script") == 2
    assert len(page) < 400_000


def test_the_fallback_is_inert():
    panel = FakeModel().panel(strengths={8192: 4.0}, prompt=HOSTILE)
    panel.write()
    panel.wait(WAIT)
    panel.run_sweep(8192)
    panel.wait(WAIT)
    shown = panel._fallback_html()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "Golden" in shown
    assert repr(panel) == "<SteeringPanel: {8192: 4}, idle, 1 sweeps>"


# Records -------------------------------------------------------------------------------------------------------


def test_a_record_that_does_not_fit_itself_is_refused():
    good = {"text": "a", "str_tokens": ("x", "a"), "n_prompt": 1, "features": (3,)}
    flags, table = np.zeros(2, bool), np.zeros((2, 1), np.float32)
    arrays = {"modified": flags, "skipped": flags, "requested": table, "readback": table}
    assert len(Steered(**good, **arrays).frame) == 2
    with pytest.raises(ValueError, match=r"readback must have shape \(2, 1\)"):
        Steered(**good, **{**arrays, "readback": flags})
    with pytest.raises(ValueError, match="n_prompt"):
        Steered(**{**good, "n_prompt": 3}, **arrays)


def test_the_frame_of_a_sweep_has_a_row_a_text():
    model = FakeModel()
    sweep = model.sweep("p", 8192, [4.0, -2.0], asked.DEFAULTS, threading.Event(), lambda share: None, kind="clamp")
    frame = sweep.frame
    assert sweep.strengths == (-2.0, 4.0)
    assert sweep.bare is sweep.rows[0]
    assert frame["strength"].isna().tolist()[:3] == [True, False, False]
    assert frame.query("sweet_spot")["strength"].tolist() == [4.0]
    assert frame["first_divergence"].dtype == "Int64"
    assert frame["text"].tolist() == [row.text for row in sweep.rows]
