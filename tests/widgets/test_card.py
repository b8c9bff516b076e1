"""FeatureCard without a browser: traits, questions and their answers, other forms."""

from __future__ import annotations

import json
import re
import threading
import time

import numpy as np
import pandas as pd
import pytest
import traitlets
from card_fakes import D_SAE, SILENT, Source, make_card, make_example, make_list
from synthetic import HOSTILE

from saewidgets.records import Example, FeatureCardData, FeatureList
from saewidgets.widgets import FeatureCard
from saewidgets.widgets.shared.buffers import CHUNK, unpack


class Spy(FeatureCard):
    """A card whose messages are kept instead of sent."""

    def __init__(self, *args, **kwargs) -> None:
        self.sent = []
        super().__init__(*args, **kwargs)

    def send(self, content, buffers=None) -> None:
        self.sent.append((content, buffers or []))

    def hear(self, **message) -> None:
        """Receive a message as from a browser's view ``v``."""
        self._handle_custom_msg({"view": "v", **message}, [])

    def wait(self, kind: str, n: int = 1) -> list:
        """The messages of a kind, once there are ``n``."""
        end = time.monotonic() + 60
        while len(found := [m for m, _ in self.sent if m["type"] == kind]) < n:
            assert time.monotonic() < end, [m["type"] for m, _ in self.sent]
            time.sleep(0.005)
        return found

    def settle(self) -> None:
        end = time.monotonic() + 60
        while self._answers.busy:
            assert time.monotonic() < end
            time.sleep(0.005)

    def blobs(self, kind: str) -> list:
        """Every blob of a kind, joined."""
        found: dict[int, list[bytes]] = {}
        for message, buffers in list(self.sent):
            if message["type"] == kind:
                found.setdefault(message["acts"], []).extend(buffers)
        return [unpack(b"".join(parts)) for parts in found.values()]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def card(source) -> Spy:
    return Spy(make_card(10), make_list(), **source.calls())


# Traits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [D_SAE, -1, 2.5, "3", True])
def test_an_unknown_feature_is_refused_and_the_range_named(card, given):
    with pytest.raises(traitlets.TraitError, match="from 0 to 16383"):
        card.feature = given
    assert card.feature == 10


def test_without_load_there_is_one_card_only():
    card = FeatureCard(make_card(10), make_list())
    with pytest.raises(traitlets.TraitError, match="made without load"):
        card.feature = 11
    assert card.feature == 10


def test_a_card_of_another_dictionary_is_refused():
    with pytest.raises(ValueError, match="feature 200, but all_features has 100"):
        FeatureCard(make_card(200), make_list(100))


@pytest.mark.parametrize("given", [[D_SAE], [1, -2], ["a"], 3, [None]])
def test_unknown_features_are_refused(card, given):
    with pytest.raises(traitlets.TraitError, match="features must be"):
        card.features = given
    assert card.features is None


def test_numpy_numbers_are_numbers(card):
    card.feature = np.int64(7)
    card.features = np.array([3, 4])
    assert json.dumps([card.feature, card.features]) == "[7, [3, 4]]"


def test_cards_link(card):
    other = FeatureCard(make_card(3), make_list(), load=Source().load)
    traitlets.link((card, "feature"), (other, "feature"))
    card.feature = 12
    assert other.feature == 12
    assert other.data.feature == 12


def test_nothing_chosen_elsewhere_leaves_the_card_as_it_is(card):
    card.feature = 12
    card.feature = None
    assert card.data.feature == 12
    assert "feature 12" in repr(card)


def test_frames_are_of_the_feature_shown(card):
    assert list(card.frame) == ["interval", "activation", "str_token", "position", "text", "source"]
    pd.testing.assert_frame_equal(card.frame, make_card(10).frame)
    card.feature = 12
    pd.testing.assert_frame_equal(card.frame, make_card(12).frame)
    assert list(card.all_features.frame) == ["feature", "density", "maximum", "label", "label_score"]
    assert list(card.data.logits) == ["str_token", "weight"]
    assert list(card.data.related) == ["kind", "number", "value", "label"]


def test_saved_state_is_small_however_many_features_there_are():
    card = FeatureCard(make_card(10), make_list(131_072))
    assert len(json.dumps(card.get_state(drop_defaults=False))) < 200_000


def test_a_cheap_repr(card):
    assert repr(card) == "<Spy: feature 10, 'bridges and crossings'>".replace("Spy", "FeatureCard")
    card.feature = SILENT
    assert repr(card) == "<FeatureCard: feature 5>"


# Questions -----------------------------------------------------------------------------------------------------


def test_a_ready_view_receives_the_card_and_the_list_in_small_pieces():
    card = Spy(make_card(10), make_list(131_072))
    card.hear(type="ready")
    card.wait("card")
    assert all(len(buffers[0]) <= CHUNK for _, buffers in card.sent)
    assert len({m["part"] for m in card.wait("list", 2)}) > 1
    card.settle()
    assert all(len(buffers[0]) <= CHUNK for _, buffers in card.sent)
    meta, arrays = card.blobs("list")[0]
    assert meta["total"] == len(arrays["density"]) == 131_072
    assert bytes(arrays["labels"]).decode().split("\n") == list(make_list(131_072).labels)


def test_what_is_sent_is_what_the_card_says(card):
    card.hear(type="card", feature=12)
    card.wait("card")
    meta, arrays = card.blobs("card")[0]
    data = make_card(12)
    shown = [*data.top, *data.intervals]
    tokens = [meta["vocabulary"][i] for i in arrays["token"]]
    assert tokens == [token for example in shown for token in example.str_tokens]
    values = np.zeros(len(tokens), np.float32)
    values[arrays["at"]] = arrays["value"]
    np.testing.assert_array_equal(values, np.concatenate([example.activations for example in shown]))
    assert [e["interval"] for e in meta["examples"]] == [example.interval for example in shown]
    assert meta["histogram"] == data.stats.histogram.tolist()
    assert meta["promoted"] == [[token, weight] for token, weight in data.promoted]
    assert meta["density"] == data.stats.count / data.stats.n_tokens


def test_the_newest_card_wins(source):
    source.delay = 0.02
    card = Spy(make_card(10), make_list(), **source.calls())
    for feature in range(100, 300):
        card.hear(type="card", feature=feature)
    card.settle()
    assert card.blobs("card")[-1][0]["feature"] == 299
    assert len(source.loaded) < 60


def test_cards_beside_the_shown_one_are_fetched_ahead(card, source):
    card.hear(type="near", features=[11, 9, D_SAE + 3])
    card.settle()
    assert [meta["feature"] for meta, _ in card.blobs("card")] == [11, 9]
    card.hear(type="card", feature=9)
    card.wait("card", 3)
    assert source.loaded == [11, 9]


def test_a_card_that_cannot_be_loaded_says_why():
    def load(feature: int, stop: threading.Event) -> FeatureCardData:
        raise OSError(f"feature {feature}: the index folder is gone\nand more")

    card = Spy(make_card(10), make_list(), load=load)
    card.hear(type="near", features=[12])
    card.settle()
    assert card.sent == []
    card.hear(type="card", feature=11)
    (message,) = card.wait("failed")
    assert message["message"] == "feature 11: the index folder is gone"
    assert (message["kind"], message["feature"], message["to"]) == ("card", 11, None)
    card.feature = 11
    with pytest.raises(OSError, match="index folder is gone"):
        _ = card.frame


def test_a_card_of_the_wrong_feature_is_an_error():
    card = Spy(make_card(10), make_list(), load=lambda feature, stop: make_card(3))
    card.hear(type="card", feature=11)
    (message,) = card.wait("failed")
    assert "feature 11, got that of feature 3" in message["message"]


def test_a_sentence_is_run_for_the_view_that_asked(card):
    card.hear(type="test", feature=10, text="A stone bridge.", generation=4)
    (message,) = card.wait("tested")
    assert (message["to"], message["generation"]) == ("v", 4)
    meta, arrays = card.blobs("tested")[0]
    assert meta["text"] == "A stone bridge."
    assert [meta["vocabulary"][i] for i in arrays["token"][arrays["at"]]] == [" bridge"]


def test_a_sentence_that_cannot_be_run_says_why(card):
    card.hear(type="test", feature=10, text="refuse this", generation=5)
    (message,) = card.wait("failed")
    assert message["message"].startswith("the sentence is longer")
    assert (message["kind"], message["generation"], message["to"]) == ("test", 5, "v")


def test_fast_typing_leaves_no_backlog(source):
    source.delay = 0.02
    card = Spy(make_card(10), make_list(), **source.calls())
    for i in range(200):
        card.hear(type="test", feature=10, text=f"bridge {i}", generation=i)
    card.settle()
    assert card.blobs("tested")[-1][0]["text"] == "bridge 199"
    assert len(source.tested) < 60


def test_the_ablation_effect_is_that_of_the_example_asked_about(card, source):
    data = make_card(10)
    which = len(data.top) + 2
    card.hear(type="ablate", feature=10, which=which, generation=1)
    card.wait("ablated")
    example = data.intervals[2]
    assert source.ablated == [(example.str_tokens, 10)]
    _, arrays = card.blobs("ablated")[0]
    np.testing.assert_array_equal(arrays["effect"], Source().ablate(example, 10, threading.Event()))
    # A view that comes later, and a saved page, know it too.
    card.hear(type="ready")
    card.wait("card")
    meta, arrays = card.blobs("card")[0]
    assert meta["effects"] == [which]
    assert len(arrays[f"effect {which}"]) == len(example.str_tokens)


def test_the_ablation_effect_on_a_sentence_of_ones_own(card, source):
    card.hear(type="ablate", feature=10, which=-1, text="A stone bridge.", generation=1)
    card.wait("ablated")
    assert [words for words, _ in source.ablated] == [["<|endoftext|>", "A", " stone", " bridge", "."]]


def test_effects_of_the_wrong_length_are_an_error():
    card = Spy(make_card(10), make_list(), ablate=lambda example, feature, stop: np.zeros(3, np.float32))
    card.hear(type="ablate", feature=10, which=0, generation=1)
    (message,) = card.wait("failed")
    assert re.match(r"ablate gave \(3,\) effects for \d+ tokens", message["message"])


def test_search_sends_numbers_and_reasons(card):
    card.hear(type="search", text="river", generation=2)
    (message,) = card.wait("found")
    meta, arrays = card.blobs("found")[0]
    assert message["generation"] == 2
    assert arrays["features"].tolist() == list(range(0, 200, 10))
    assert meta["why"][0] == "promotes “river”"


def test_questions_nobody_can_answer_are_left_alone():
    card = Spy(make_card(10), make_list())
    for kind in ("test", "ablate", "search", "label", "nonsense", "near"):
        card.hear(type=kind, feature=10, text="x")
    card.hear(type="card", feature=10**7)
    card.settle()
    assert card.sent == []


def test_a_closed_card_answers_nothing_more(source):
    source.delay = 0.2
    card = Spy(make_card(10), make_list(), **source.calls())
    card.hear(type="card", feature=11)
    card.close()
    card.settle()
    assert card.blobs("card") == []


# Labels --------------------------------------------------------------------------------------------------------


def test_a_label_is_kept_and_shown_everywhere(card, source):
    card.hear(type="label", feature=14, text="articles")
    (message,) = card.wait("labelled")
    assert (message["feature"], message["label"], message["label_source"]) == (14, "articles", "you")
    assert source.labels == {14: "articles"}
    assert card.all_features.labels[14] == "articles"
    card.feature = 14
    assert card.data.stats.label == "articles"


def test_no_label_is_lost_however_fast_they_come(source):
    source.delay = 0.005
    card = Spy(make_card(10), make_list(), **source.calls())
    for feature in range(20, 40):
        card.hear(type="label", feature=feature, text=f"label {feature}")
    card.hear(type="label", feature=20, text="the last word")
    card.wait("labelled", 21)
    assert source.labels == {20: "the last word", **{f: f"label {f}" for f in range(21, 40)}}


def test_a_label_taken_back_shows_the_automatic_one(card):
    card.hear(type="label", feature=10, text="mine")
    card.hear(type="label", feature=10, text="")
    assert [m["label"] for m in card.wait("labelled", 2)] == ["mine", "bridges and crossings"]


def test_a_label_that_cannot_be_kept_says_why_and_changes_nothing(card):
    card.hear(type="label", feature=10, text="refuse")
    (message,) = card.wait("failed")
    assert (message["kind"], message["feature"]) == ("label", 10)
    assert "read-only" in message["message"]
    assert card.all_features.labels[10] == card.data.stats.label == "bridges and crossings"


def test_labels_work_on_a_card_without_load():
    kept = {}
    card = Spy(make_card(10), make_list(), set_label=kept.__setitem__)
    card.hear(type="label", feature=10, text="mine")
    card.wait("labelled")
    assert kept == {10: "mine"}
    assert (card.data.stats.label, card.data.stats.label_source) == ("mine", "you")


# Records -------------------------------------------------------------------------------------------------------


def test_an_example_that_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="3 tokens needs 3 activations, got 2"):
        Example(("a", "b", "c"), np.zeros(2, np.float32), 0)
    with pytest.raises(ValueError, match="position must be from 0 to 0"):
        Example(("a",), np.zeros(1, np.float32), 1)
    with pytest.raises(ValueError, match="interval must be 1 to 11"):
        Example(("a",), np.zeros(1, np.float32), 0, interval=12)


def test_a_list_that_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="of one length"):
        FeatureList(np.zeros(3), np.zeros(2), ["", "", ""], np.zeros(3))


def test_intervals_are_even_and_density_is_a_share():
    stats = make_card(10).stats
    np.testing.assert_allclose(np.diff(stats.intervals), stats.maximum / 11)
    assert len(stats.intervals) == 12
    assert stats.density == stats.count / stats.n_tokens
    assert int(stats.frame["count"].to_numpy().sum()) == stats.count


# Other forms ---------------------------------------------------------------------------------------------------


def page_of(path) -> tuple[dict, dict]:
    data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S)[1])  # pyright: ignore[reportOptionalSubscript]
    import base64

    return data["state"], unpack(base64.b64decode(data["blob"]))  # pyright: ignore[reportReturnType]


def test_a_saved_page_holds_the_features_asked_for(card, tmp_path):
    path = tmp_path / "page.html"
    card.save_html(path, features=[31, 10, 31, np.int64(7)])
    state, (meta, arrays) = page_of(path)
    assert (state["feature"], state["_can"], meta["cards"]) == (31, [], [31, 10, 7])
    _, listed = unpack(bytes(arrays["list"]))
    assert listed["feature"].tolist() == [31, 10, 7]
    assert unpack(bytes(arrays["card 7"]))[0]["feature"] == 7
    assert "<title>Feature 31 · dates and years</title>" in path.read_text("utf-8")


def test_a_saved_page_is_of_the_feature_shown_unless_told(card, tmp_path):
    card.feature = 12
    card.save_html(tmp_path / "page.html", "Mine")
    state, (meta, _) = page_of(tmp_path / "page.html")
    assert (state["feature"], meta["cards"]) == (12, [12])


@pytest.mark.parametrize("features", [[], [D_SAE], [1, "x"]])
def test_a_page_of_unknown_features_is_refused_and_not_written(card, tmp_path, features):
    with pytest.raises(ValueError, match="features must be numbers"):
        card.save_html(tmp_path / "page.html", features=features)
    assert list(tmp_path.iterdir()) == []


def test_hostile_tokens_and_labels_are_inert(tmp_path):
    tokens = list(HOSTILE)
    example = Example(tokens, np.ones(len(tokens), np.float32), 3, source=HOSTILE[0])
    data = make_card(10, top=[example], notes=[HOSTILE[1]])
    names = [HOSTILE[i % 2] + "\n" for i in range(100)]
    plain = make_list(100)
    card = FeatureCard(data, FeatureList(plain.density, plain.maximum, names, plain.label_scores))
    card.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<script") == 2
    assert "<img" not in page
    html = card._fallback_html()
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    html.encode("utf-8")


def test_the_fallback_says_what_is_known(card):
    html = card._fallback_html()
    assert "bridges and crossings" in html
    assert "fires on" in html
    assert "<code> bridge</code>" in html
    card.feature = SILENT
    assert "never fired on the 2,104,332 tokens scanned" in card._fallback_html()


def test_an_example_without_tokens_is_packed(card):
    empty = Example((), np.zeros(0, np.float32), 0)
    full = make_example(10, "A bridge.")
    spy = Spy(make_card(10, top=[empty, full], intervals=[]), make_list())
    spy.hear(type="card", feature=10)
    spy.wait("card")
    meta, arrays = spy.blobs("card")[0]
    assert [e["size"] for e in meta["examples"]] == [0, 4]
    assert len(arrays["token"]) == 4
