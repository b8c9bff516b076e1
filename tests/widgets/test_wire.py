"""What the browser receives equals what the acts say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import HOSTILE, long_acts, make_acts, unicorn_acts

from saewidgets.widgets.heatmap.wire import pack_acts, pack_column, pack_token, top_features
from saewidgets.widgets.shared.buffers import unpack

WORDS = st.lists(st.sampled_from([*HOSTILE, " the", " Golden", " Gate", "7"]), max_size=40)


def rows_of(arrays, i):
    part = slice(arrays["offsets"][i], arrays["offsets"][i + 1])
    return list(zip(arrays["indices"][part].tolist(), arrays["values"][part].tolist(), strict=True))


@settings(deadline=None, max_examples=40)
@given(WORDS, st.integers(4, 12), st.booleans())
def test_a_short_text_is_sent_whole(tokens, k, bos):
    acts = make_acts(tokens=tokens, k=k, bos=bos)
    meta, arrays = unpack(pack_acts(acts))
    assert meta["tokens"] == list(acts.str_tokens)
    np.testing.assert_array_equal(arrays["skipped"], acts.skipped)
    np.testing.assert_array_equal(arrays["position"], acts.position)
    for i in range(len(acts)):
        active = acts.values[i] > 0
        expected = zip(acts.indices[i, active].tolist(), acts.values[i, active].tolist(), strict=True)
        assert rows_of(arrays, i) == list(expected)


@settings(deadline=None, max_examples=40)
@given(WORDS.map(lambda tokens: [t for t in tokens if t != "\ud83d"]), st.integers(1, 60))
def test_top_features_are_those_of_the_record(tokens, k):
    acts = make_acts(tokens=tokens)
    frame = acts.top_features(k)
    rows = top_features(acts, k)
    assert [row[0] for row in rows] == frame["feature"].tolist()
    np.testing.assert_array_equal(
        np.array([row[1] for row in rows], np.float32), frame["activation"].to_numpy(np.float32)
    )
    assert [acts.position[row[2]] for row in rows] == frame["position"].tolist()
    assert [row[3] for row in rows] == frame["count"].tolist()


def test_ties_go_to_the_lower_feature_and_the_first_token():
    acts = make_acts(tokens=["a", "b", "c"], bos=False, k=4)
    indices = np.array([[5, 9], [2, 5], [2, 9]], np.int32)
    acts = dataclasses.replace(acts, values=np.full((3, 2), 2, np.float32), indices=indices)
    assert top_features(acts, 10) == [[2, 2.0, 1, 2], [5, 2.0, 0, 2], [9, 2.0, 0, 2]]


def test_a_long_text_sends_the_strongest_only():
    acts = long_acts(5_001)
    meta, arrays = unpack(pack_acts(acts))
    assert not meta["whole"]
    assert "values" not in arrays
    np.testing.assert_array_equal(arrays["strongest"], acts.indices[:, 0])
    np.testing.assert_array_equal(arrays["height"], acts.values[:, 0])
    assert unpack(pack_acts(long_acts(5_000)))[0]["whole"]
    assert "values" in unpack(pack_acts(acts, whole=True))[1]


def test_a_column_and_a_token_can_be_fetched():
    acts = long_acts(300)
    feature = int(acts.indices[7, 2])
    meta, arrays = unpack(pack_column(acts, feature))
    column = np.zeros(300, np.float32)
    column[arrays["token"]] = arrays["value"]
    np.testing.assert_array_equal(column, acts.feature_acts(feature))
    assert meta["maxima"] == {str(feature): 20.0}
    meta, arrays = unpack(pack_token(acts, 7))
    assert meta["token"] == 7
    np.testing.assert_array_equal(arrays["feature"], acts.indices[7])
    np.testing.assert_array_equal(arrays["value"], acts.values[7])


@pytest.mark.parametrize(("d_sae", "dtype"), [(1 << 16, "u2"), ((1 << 16) + 1, "u4")])
def test_feature_numbers_take_two_bytes_where_they_fit(d_sae, dtype):
    acts = dataclasses.replace(make_acts(), d_sae=d_sae, maximum=None)
    _, arrays = unpack(pack_acts(acts))
    assert arrays["indices"].dtype.str[1:] == dtype
    np.testing.assert_array_equal(np.unique(arrays["indices"]), np.unique(acts.indices[acts.values > 0]))


def test_known_maxima_and_labels_of_every_feature_sent():
    acts = make_acts()
    meta, arrays = unpack(pack_acts(acts))
    assert acts.maximum is not None
    np.testing.assert_array_equal(arrays["maximum"], acts.maximum[arrays["known"]])
    assert set(arrays["indices"]) <= set(arrays["known"])
    assert meta["labels"]["11"] == "Golden Gate Bridge"
    assert "known" not in unpack(pack_acts(make_acts(maximum=False)))[1]


def test_split_characters_and_empty_texts():
    meta, _ = unpack(pack_acts(unicorn_acts()))
    assert meta["split"]["3"] == [2, 3, "🦄"]
    meta, arrays = unpack(pack_acts(make_acts(tokens=[], bos=False)))
    assert meta["tokens"] == []
    assert meta["top"] == []
    assert arrays["offsets"].tolist() == [0]


def test_acts_without_a_single_place():
    acts = make_acts(tokens=["a"], bos=False)
    acts = dataclasses.replace(acts, values=acts.values[:, :0], indices=acts.indices[:, :0])
    _, arrays = unpack(pack_acts(acts))
    assert arrays["height"].tolist() == [0.0]
