"""FeatureMap from Python: traits, frames, messages, forms, errors."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import traitlets as t
from map_fakes import make_space  # pyright: ignore[reportMissingImports]

from saewidgets.records import FeatureSpace, Neighbors, NeighborTable
from saewidgets.widgets.map import FeatureMap, wire
from saewidgets.widgets.map.fallback import density_picture, png
from saewidgets.widgets.shared.buffers import unpack


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return make_space(300, k=25)


class Sent(list[Any]):
    """What a widget sent, whole blobs by kind."""

    def blob(self, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return unpack(b"".join(buffers[0] for head, buffers in self if head["type"] == kind))

    def kinds(self) -> list[str]:
        return [head["type"] for head, _ in self]


def record(widget: FeatureMap) -> Sent:
    sent = Sent()
    widget.send = lambda content, buffers=None: sent.append((content, buffers))  # type: ignore[method-assign]
    return sent


def ask(widget: FeatureMap, **message: Any) -> None:
    widget._handle_custom_msg(message, [])


def settle(*runners: Any) -> None:
    end = time.monotonic() + 10
    while any(runner.busy for runner in runners):
        assert time.monotonic() < end
        time.sleep(0.005)


# Records ---------------------------------------------------------------------------------------------------------


def test_a_space_says_what_does_not_fit(space):
    with pytest.raises(ValueError, match=r"finite numbers \[n, 2\]"):
        FeatureSpace(np.full((3, 2), np.nan, np.float32), np.zeros(3, np.int32), ("a",))
    with pytest.raises(ValueError, match="labels must have one entry a feature: 3, got 2"):
        FeatureSpace(np.zeros((3, 2)), np.full(3, -1), labels=("a", "b"))
    with pytest.raises(ValueError, match="cluster 4 has no name: 1 were given"):
        FeatureSpace(np.zeros((3, 2)), np.array([0, 4, 0]), ("a",))
    with pytest.raises(ValueError, match="'decoder' must have 3 rows, got 1"):
        FeatureSpace(
            np.zeros((3, 2)), np.full(3, -1), tables={"decoder": NeighborTable(np.zeros((1, 2)), np.ones((1, 2)))}
        )
    with pytest.raises(ValueError, match="no neighbour table by distance 'encoder'"):
        space.neighbors(0, 5, "encoder")
    with pytest.raises(ValueError, match="keeps 25 neighbours a feature, 26"):
        space.neighbors(0, 26)


def test_the_frame_has_a_row_a_feature(space):
    frame = space.frame
    assert ", ".join(frame) == "feature, x, y, cluster, cluster_name, label, label_score, density, trust, recall"
    assert len(frame) == 300
    for row in frame.head(40).itertuples():
        assert row.cluster_name == ("" if row.cluster < 0 else space.cluster_names[row.cluster])


def test_neighbors_leave_out_unused_places():
    table = NeighborTable(np.array([[2, -1], [0, 2], [0, -1]]), np.array([[0.5, 9], [0.1, 0.2], [0.5, 9]], np.float32))
    space = FeatureSpace(np.zeros((3, 2)), np.full(3, -1), tables={"decoder": table}, labels=("a", "b", "c"))
    frame = space.neighbors(0, 2).frame
    assert frame[["feature", "label"]].values.tolist() == [[2, "c"]]
    assert frame.similarity.tolist() == pytest.approx([0.5])
    pairs = [[0, 2, 1, 0.5], [1, 0, 1, 0.1], [1, 2, 2, 0.2], [2, 0, 1, 0.5]]
    np.testing.assert_allclose(table.frame.to_numpy(), pairs, rtol=1e-6)


# Traits ----------------------------------------------------------------------------------------------------------


def test_impossible_values_change_nothing(space):
    widget = FeatureMap(space)
    widget.feature, widget.features = np.int64(7), [1, 2]
    for name, value in [("feature", 300), ("feature", True), ("feature", "7"), ("features", [1, -1]), ("features", 5)]:
        with pytest.raises(t.TraitError, match="feature"):
            setattr(widget, name, value)
    for name, value in [("k", 0), ("k", 26), ("distance", "encoder"), ("color_by", "size"), ("text", "hello")]:
        with pytest.raises(t.TraitError):
            setattr(widget, name, value)
    assert (widget.feature, widget.features, widget.k, widget.distance) == (7, [1, 2], 10, "decoder")
    assert (widget.text, widget.color_by) == ("", "cluster")


def test_the_frame_is_the_selection_and_the_neighborhood_the_nearest(space):
    widget = FeatureMap(space)
    assert len(widget.frame) == 300
    widget.features = [5, 3]
    assert widget.frame.feature.tolist() == [5, 3]
    with pytest.raises(ValueError, match="no feature is chosen"):
        _ = widget.neighborhood
    widget.feature, widget.k = 11, 4
    assert widget.neighborhood.feature.tolist() == space.tables["decoder"].indices[11, :4].tolist()


def test_a_callable_is_asked_for_all_the_view_needs(space):
    asked = []

    def neighbors(feature: int, k: int, distance: str) -> pd.DataFrame:
        asked.append((feature, k, distance))
        return pd.DataFrame(
            {"feature": [4, 9], "distance": [0.2, 0.4], "rank_decoder": [1, 8], "rank_encoder": [np.nan, 3]}
        )

    widget = FeatureMap(space, neighbors=neighbors, distances=("decoder", "encoder"))
    widget.feature, widget.distance = 1, "encoder"
    frame = widget.neighborhood
    assert frame.feature.tolist() == [4, 9]
    assert frame.rank_decoder.tolist() == [1, 8]
    widget.distance, widget.k = "decoder", 40
    assert len(widget.neighborhood) == 2
    assert asked == [(1, 20, "encoder"), (1, 40, "decoder")]


# Messages --------------------------------------------------------------------------------------------------------


def test_ready_sends_every_point(space):
    widget = FeatureMap(space)
    sent = record(widget)
    ask(widget, type="ready", view="v")
    meta, arrays = sent.blob("acts")
    assert sent[0][0]["to"] == "v"
    np.testing.assert_array_equal(np.stack([arrays["x"], arrays["y"]], axis=1), space.xy)
    np.testing.assert_array_equal(arrays["cluster"], space.cluster)
    np.testing.assert_array_equal(arrays["trust"], space.trust)
    assert meta["labels"] == list(space.labels)
    assert (meta["tables"], meta["near"], meta["max_k"]) == ([], 20, 25)
    assert not any(name.startswith("near") for name in arrays)


def test_a_space_without_facts_sends_none():
    bare = FeatureSpace(np.zeros((2, 2), np.float32), np.full(2, -1), density=np.full(2, np.nan))
    meta, arrays = unpack(wire.pack_space(bare, FeatureMap(bare)._abilities))
    assert sorted(arrays) == ["cluster", "x", "y"]
    assert (meta["trustworthiness"], meta["max_k"]) == (None, 1)


def test_neighbours_come_with_the_truth_about_the_plane(space):
    widget = FeatureMap(space)
    sent = record(widget)
    ask(widget, type="neighbors", view="v", feature=17, distance="decoder", k=5)
    settle(widget._asking)
    meta, arrays = sent.blob("neighbors")
    assert (meta["feature"], meta["k"]) == (17, 5)
    np.testing.assert_array_equal(arrays["features"], space.tables["decoder"].indices[17, :20])
    np.testing.assert_array_equal(arrays["distances"], space.tables["decoder"].distances[17, :20])
    np.testing.assert_array_equal(arrays["planar_ranks"], space.planar.ranks[17])


def test_an_error_is_shown_and_the_next_question_answered(space):
    def neighbors(feature: int, k: int, distance: str) -> Neighbors:
        if feature == 3:
            raise ValueError("no index: run s.scan first")
        return Neighbors(feature, distance, np.array([1]), np.array([0.5], np.float32))

    widget = FeatureMap(space, neighbors=neighbors, distances=("coactivation",))
    sent = record(widget)
    for feature in (3, 4):
        ask(widget, type="neighbors", view="v", feature=feature, distance="coactivation", k=5)
        settle(widget._asking)
    assert sent[0][0] == {"type": "failed", "message": "no index: run s.scan first", "asked": [3, "coactivation", 5]}
    assert sent.blob("neighbors")[1]["features"].tolist() == [1]


def test_search_adds_what_the_kernel_knows(space):
    widget = FeatureMap(space, search=lambda query: [len(query)])
    sent = record(widget)
    ask(widget, type="search", view="v", query="bridge")
    settle(widget._searching)
    meta, arrays = sent.blob("found")
    assert (meta["query"], arrays["features"].tolist()) == ("bridge", [6])


# Light -----------------------------------------------------------------------------------------------------------


def test_a_sentence_lights_up_what_fires(space):
    widget = FeatureMap(space, light=lambda text, stop: {3: 2.0, 9: 0.0, 5: 4.0})
    sent = record(widget)
    widget.text = "The bridge"
    settle(widget._lighting)
    _, arrays = sent.blob("lit")
    assert dict(zip(arrays["features"].tolist(), arrays["values"].tolist(), strict=True)) == {3: 2.0, 5: 4.0}
    assert widget.color_by == "activation"
    assert widget.frame.activation.to_numpy().nonzero()[0].tolist() == [3, 5]
    widget.text = ""
    assert widget.color_by == "cluster"
    assert "activation" not in widget.frame


def test_the_newest_sentence_wins(space):
    started = threading.Event()

    def light(text: str, stop: threading.Event) -> dict[int, float]:
        if text == "old":
            started.set()
            assert stop.wait(10)
        return {len(text): 1.0}

    widget = FeatureMap(space, light=light)
    sent = record(widget)
    widget.text = "old"
    assert started.wait(10)
    widget.text = "newer"
    settle(widget._lighting)
    assert sent.kinds().count("lit") == 1
    assert sent.blob("lit")[0]["text"] == "newer"


@pytest.mark.parametrize("given", [{300: 1.0}, ([1, 2], [1.0])])
def test_impossible_light_is_an_error_in_the_widget(space, given):
    widget = FeatureMap(space, light=lambda text, stop: given)
    sent = record(widget)
    widget.text = "x"
    settle(widget._lighting)
    assert sent.kinds() == ["failed"]
    assert "light" in sent[0][0]["message"]


# Forms -----------------------------------------------------------------------------------------------------------


def test_a_saved_page_carries_the_tables(space):
    widget = FeatureMap(space, neighbors=lambda *_: pytest.fail("no kernel"), distances=("encoder", "decoder"))
    widget.k = 40
    meta, arrays = unpack(widget._page_blob())
    assert meta["distances"] == meta["tables"] == ["decoder"]
    table = space.tables["decoder"]
    np.testing.assert_array_equal(arrays["near_0"].reshape(300, 20), table.indices[:, :20])
    np.testing.assert_allclose(arrays["away_0"].reshape(300, 20) / 32767.5, table.distances[:, :20], atol=2e-5)
    np.testing.assert_array_equal(arrays["planar_ranks"].reshape(300, 12), space.planar.ranks)
    state = widget._page_state()
    assert (state["distance"], state["k"]) == ("decoder", 20)


def test_unused_places_of_a_table_stay_unused():
    table = NeighborTable(np.array([[1, -1], [0, -1]]), np.array([[0.25, np.inf], [0.25, np.nan]], np.float32))
    near, away = wire.cut_table(table, 2)
    assert near.tolist() == [1, 0, 0, 1]
    assert away[[0, 2]].tolist() == [8192, 8192]


def test_plotly_draws_points_and_lines(space):
    widget = FeatureMap(space)
    widget.feature, widget.color_by = 17, "trust"
    figure: Any = widget.to_plotly()
    lines, points = figure.data
    assert len(points.x) == 300
    np.testing.assert_array_equal(points.marker.color, space.trust)
    ends = np.asarray(lines.x).reshape(-1, 3)
    np.testing.assert_array_equal(ends[:, 0], np.full(len(ends), space.xy[17, 0]))
    np.testing.assert_array_equal(ends[:10, 1], space.xy[space.tables["decoder"].indices[17, :10], 0])


def test_the_fallback_is_a_picture_and_inert(space):
    hostile = FeatureSpace(space.xy, np.zeros(300, np.int32), ("<script>alert(1)</script>",))
    html = FeatureMap(hostile)._fallback_html()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; (300)" in html
    assert len(html) < 100_000


def test_the_picture_is_dark_where_features_are():
    picture = density_picture(np.array([[0, 0], [10, 0], [10, 0], [10, 5]], np.float32))
    dark = np.argwhere(picture[:, :, 0] < 240)
    assert len({tuple(at) for at in dark.tolist()}) == 12
    assert picture[:, :, 0].min() == picture[dark[:, 0].max(), dark[:, 1].max(), 0]
    assert png(picture)[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_repr_is_cheap(space):
    widget = FeatureMap(space)
    widget.feature = 5
    assert repr(widget) == "<FeatureMap: 300 features, feature 5>"


def test_state_is_small(space):
    assert len(str({k: v for k, v in FeatureMap(space).get_state().items() if not k.startswith("_")})) < 2000


def test_an_empty_space_is_shown():
    widget = FeatureMap(FeatureSpace(np.zeros((0, 2), np.float32), np.zeros(0, np.int32)))
    assert "Map of 0 features" in widget._fallback_html()
    assert len(widget.frame) == 0
    assert unpack(widget._page_blob())[1]["x"].size == 0
