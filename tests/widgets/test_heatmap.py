"""TokenHeatmap without a browser: traits, messages, recomputation, other forms."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pandas as pd
import pytest
import traitlets
from synthetic import D_SAE, ENGLISH, HOSTILE, long_acts, make_acts

from saewidgets.widgets import TokenHeatmap
from saewidgets.widgets.shared.buffers import CHUNK, unpack


class Spy(TokenHeatmap):
    """A heatmap whose messages are kept instead of sent."""

    def __init__(self, *args, **kwargs) -> None:
        self.sent = []
        super().__init__(*args, **kwargs)

    def send(self, content, buffers=None) -> None:
        self.sent.append((content, buffers or []))

    def hear(self, **message) -> None:
        """Receive a message as from a browser's view ``v``."""
        self._handle_custom_msg({"view": "v", **message}, [])

    def blob(self, kind):
        """The last blob of a kind, joined."""
        parts = [(m, b) for m, b in self.sent if m["type"] == kind]
        newest = [b[0] for m, b in parts if m["acts"] == parts[-1][0]["acts"]]
        return unpack(b"".join(newest[-parts[-1][0]["parts"] :]))

    def settle(self) -> None:
        end = time.monotonic() + 5
        while self._runner.busy:
            assert time.monotonic() < end
            time.sleep(0.005)


# Traits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [D_SAE, -1, 2.5, "3", True])
def test_an_unknown_feature_is_refused_and_the_range_named(given):
    heatmap = TokenHeatmap(make_acts(), feature=3)
    with pytest.raises(traitlets.TraitError, match=r"from 0 to 1023"):
        heatmap.feature = given
    assert heatmap.feature == 3


def test_an_unknown_feature_is_refused_from_the_start():
    with pytest.raises(traitlets.TraitError, match=r"from 0 to 1023"):
        TokenHeatmap(make_acts(), feature=5000)


def test_numpy_numbers_are_numbers():
    heatmap = TokenHeatmap(make_acts())
    heatmap.feature = np.int64(7)
    heatmap.position = (np.int32(0), np.int32(2))
    assert heatmap.feature == 7
    assert type(heatmap.feature) is int
    assert heatmap.position == [0, 2]
    assert json.dumps([heatmap.feature, heatmap.position])


@pytest.mark.parametrize("given", [[0, 9999], [1, 0], [0], 4, [0, -1], "ab", [0, None]])
def test_an_unknown_position_is_refused(given):
    with pytest.raises(traitlets.TraitError, match="position must be"):
        TokenHeatmap(make_acts()).position = given


def test_a_click_on_a_token_that_is_gone_is_ignored():
    heatmap = TokenHeatmap(make_acts(), feature=1)
    heatmap.set_state({"position": [0, 9999], "feature": 2})
    assert heatmap.position is None
    assert heatmap.feature == 2


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="colour"):
        TokenHeatmap(make_acts(), colour="red")  # pyright: ignore[reportCallIssue]
    with pytest.raises(traitlets.TraitError):
        TokenHeatmap(make_acts(), scale_by="layer")


def test_saved_state_is_small_however_long_the_text():
    for acts in (make_acts(), long_acts(50_000)):
        heatmap = TokenHeatmap(acts)
        assert len(json.dumps(heatmap.get_state())) <= 200_000


def test_the_frame_is_what_the_acts_say():
    acts = make_acts()
    heatmap = TokenHeatmap(acts)
    pd.testing.assert_frame_equal(heatmap.frame, acts.frame)
    assert list(heatmap.frame) == ["text", "position", "str_token", "feature", "activation"]
    assert heatmap.text == ENGLISH


def test_two_heatmaps_link():
    one, two = TokenHeatmap(make_acts()), TokenHeatmap(make_acts())
    traitlets.link((one, "feature"), (two, "feature"))
    traitlets.link((one, "position"), (two, "position"))
    one.feature, two.position = 42, [0, 3]
    assert (two.feature, one.position) == (42, [0, 3])


# Messages ------------------------------------------------------------------------------------------------------


def test_a_ready_view_receives_the_acts_in_small_pieces():
    heatmap = Spy(long_acts(200_000, k=2))
    heatmap.hear(type="ready")
    assert len(heatmap.sent) > 1
    assert all(len(buffers[0]) <= CHUNK for _, buffers in heatmap.sent)
    assert {message["to"] for message, _ in heatmap.sent} == {"v"}
    assert len(heatmap.blob("acts")[0]["tokens"]) == 200_000


def test_lists_and_columns_of_a_long_text_are_answered():
    heatmap = Spy(long_acts(6_000))
    heatmap.hear(type="token", token=17)
    heatmap.hear(type="column", feature=19)
    assert heatmap.blob("token")[0]["token"] == 17
    assert heatmap.blob("column")[0]["feature"] == 19


def test_messages_nobody_knows_are_ignored():
    heatmap = Spy(make_acts())
    heatmap.hear(type="nonsense")
    heatmap.hear(type="token", token=10**6)
    heatmap.hear(type="edit", text="no compute", generation=1)
    assert heatmap.sent == []


# Recomputing ---------------------------------------------------------------------------------------------------


def test_an_edit_is_recomputed_and_sent_to_every_view():
    heatmap = Spy(make_acts(), compute=lambda text, stop: make_acts(text), feature=11)
    heatmap.position = [0, 60]
    heatmap.hear(type="edit", text="A bridge.", generation=4)
    heatmap.settle()
    message, _ = heatmap.sent[-1]
    assert message["editing"] == {"view": "v", "generation": 4}
    assert message["to"] is None
    assert heatmap.text == "A bridge."
    assert heatmap.acts.texts == ("A bridge.",)
    assert heatmap.feature == 11
    assert heatmap.position is None
    assert heatmap.blob("acts")[0]["tokens"][-1] == "."


def test_fast_typing_leaves_no_backlog():
    done = []

    def compute(text: str, stop: threading.Event):
        time.sleep(0.02)
        done.append(text)
        return make_acts(text)

    heatmap = Spy(make_acts(), compute=compute)
    for i in range(200):
        heatmap.hear(type="edit", text=f"text {i}", generation=i)
    heatmap.settle()
    assert heatmap.text == "text 199"
    assert len(done) < 40


def test_an_error_keeps_the_old_picture():
    def compute(text: str, stop: threading.Event):
        raise ValueError("the text is too long\nand more")

    heatmap = Spy(make_acts(), compute=compute)
    before = heatmap.acts
    heatmap.hear(type="edit", text="x", generation=1)
    heatmap.settle()
    expected = {"type": "failed", "message": "the text is too long", "editing": {"view": "v", "generation": 1}}
    assert heatmap.sent == [(expected, [])]
    assert heatmap.acts is before
    assert heatmap.text == ENGLISH


def test_text_set_from_python_is_recomputed():
    heatmap = Spy(make_acts(), compute=lambda text, stop: make_acts(text))
    heatmap.text = "San Francisco"
    heatmap.settle()
    assert heatmap.acts.texts == ("San Francisco",)


def test_text_cannot_be_set_without_compute():
    heatmap = TokenHeatmap(make_acts())
    with pytest.raises(traitlets.TraitError, match="cannot be edited"):
        heatmap.text = "San Francisco"
    assert heatmap.text == ENGLISH


def test_several_texts_are_shown_but_not_edited():
    heatmap = TokenHeatmap(make_acts("One.", "Two."), compute=lambda text, stop: make_acts(text))
    assert not heatmap._editable
    assert heatmap.text == "One.\n\nTwo."
    heatmap.position = [1, 1]


def test_new_acts_replace_the_old():
    heatmap = Spy(make_acts(), feature=11)
    heatmap.acts = make_acts("Fog.")
    assert heatmap.text == "Fog."
    assert heatmap.blob("acts")[0]["tokens"] == ["<|endoftext|>", "Fog", "."]


# Other forms ---------------------------------------------------------------------------------------------------


def test_a_cheap_repr():
    assert repr(TokenHeatmap(long_acts(9_000))) == "<TokenHeatmap: 9000 tokens, strongest features>"
    assert repr(TokenHeatmap(make_acts(), feature=3)).endswith("feature 3>")


def test_the_fallback_shows_the_text_and_runs_nothing():
    data, _ = TokenHeatmap(make_acts(tokens=HOSTILE))._repr_mimebundle_()
    html = data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;/script&gt;" in html
    assert "\x00" not in html
    assert "\u202e" not in html
    assert "[RLO]" in html
    assert "[NUL]" in html
    html.encode("utf-8")


def test_the_fallback_of_a_long_text_is_short():
    data, _ = TokenHeatmap(long_acts(50_000))._repr_mimebundle_()
    assert "48,000 more tokens" in data["text/html"]
    assert len(data["text/html"]) < 300_000
