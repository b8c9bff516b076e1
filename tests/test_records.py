"""Records: frames against loops, requests read strictly, verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saewidgets as sw
from saewidgets.records import (
    Finding,
    Intervention,
    Provenance,
    Status,
    TokenActs,
    TrustReport,
    as_interventions,
    clamp,
)


def make_acts(rows: list[list[tuple[int, float]]], text: list[int], skipped: list[bool], **more: Any) -> TokenActs:
    """TokenActs from (feature, value) pairs a token, in the order that the record promises."""
    width = max([1, *map(len, rows)])
    values = np.zeros((len(rows), width), np.float32)
    indices = np.zeros((len(rows), width), np.int32)
    for i, row in enumerate(rows):
        for j, (feature, value) in enumerate(sorted(row, key=lambda pair: (-pair[1], pair[0]))):
            values[i, j], indices[i, j] = value, feature
    position = [sum(other == t for other in text[:i]) for i, t in enumerate(text)]
    return TokenActs(
        texts=tuple(f"text {t}" for t in dict.fromkeys(text)),
        str_tokens=tuple(f"t{i}" for i in range(len(rows))),
        text=np.array(text, np.int32),
        position=np.array(position, np.int32),
        values=values,
        indices=indices,
        skipped=np.array(skipped, bool),
        d_sae=8,
        **more,
    )


@st.composite
def any_acts(draw: st.DrawFn) -> tuple[list[list[tuple[int, float]]], TokenActs]:
    value = st.sampled_from([0.5, 1.0, 2.0, 3.5])
    row = st.dictionaries(st.integers(0, 7), value, max_size=4).map(lambda found: list(found.items()))
    rows = draw(st.lists(row, min_size=1, max_size=9))
    text = sorted(draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    skipped = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    return rows, make_acts(rows, text, skipped, labels={3: "three"})


@given(any_acts())
def test_the_frame_has_a_row_for_every_active_pair(given_acts: tuple[Any, TokenActs]) -> None:
    rows, acts = given_acts
    expected = [
        (int(acts.text[i]), int(acts.position[i]), f"t{i}", feature, value)
        for i, row in enumerate(rows)
        for feature, value in sorted(row, key=lambda pair: (-pair[1], pair[0]))
    ]
    assert list(acts.frame.columns) == ["text", "position", "str_token", "feature", "activation"]
    assert list(acts.frame.itertuples(index=False, name=None)) == expected
    assert len(acts) == len(rows)
    for feature in range(8):
        assert acts.feature_acts(feature).tolist() == [dict(row).get(feature, 0.0) for row in rows]


@given(any_acts(), st.integers(1, 9))
def test_top_features_are_each_features_strongest_place(given_acts: tuple[Any, TokenActs], k: int) -> None:
    rows, acts = given_acts
    kept = [(f, v, i) for i, row in enumerate(rows) for f, v in row if not acts.skipped[i]]
    best = []
    for feature in {f for f, _, _ in kept}:
        places = [(-v, i) for f, v, i in kept if f == feature]
        value, place = min(places)  # the strongest, the first of equals
        best.append((feature, -value, int(acts.text[place]), int(acts.position[place]), f"t{place}", len(places)))
    best.sort(key=lambda row: (-row[1], row[0]))
    expected = [(*row, "three" if row[0] == 3 else "") for row in best[:k]]
    found = acts.top_features(k)
    assert list(found.columns) == ["feature", "activation", "text", "position", "str_token", "count", "label"]
    assert list(found.itertuples(index=False, name=None)) == expected


def test_frames_without_anything_active_keep_their_columns() -> None:
    acts = make_acts([[], []], [0, 0], [True, False])
    assert len(acts.frame) == len(acts.top_features()) == 0
    assert list(acts.frame.columns) == ["text", "position", "str_token", "feature", "activation"]
    assert "count" in acts.top_features().columns
    all_skipped = make_acts([[(1, 2.0)]], [0], [True])
    assert len(all_skipped.frame) == 1 and len(all_skipped.top_features()) == 0


# ---- interventions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        (None, ()),
        ({}, ()),
        ([], ()),
        ({5: 2.0}, (Intervention(5, 2.0),)),
        ({5: None, 6: 0}, (Intervention(6, 0.0),)),
        ({5: None}, ()),
        ({np.int64(5): np.float32(2.0)}, (Intervention(5, 2.0),)),
        (clamp(1, -3), (Intervention(1, -3.0),)),
        ([clamp(1, 1), clamp(2, 1)], (Intervention(1, 1.0), Intervention(2, 1.0))),
        ((clamp(1, 1),), (Intervention(1, 1.0),)),
    ],
    ids=str,
)
def test_interventions_are_read(given_as: Any, expected: tuple[Intervention, ...]) -> None:
    assert as_interventions(given_as) == expected


@pytest.mark.parametrize("wrong", [5, "5", [5], [(5, 2.0)], [None], [clamp(1, 1), 3], {1}], ids=str)
def test_anything_else_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        as_interventions(wrong)


@pytest.mark.parametrize("wrong", [[clamp(1, 1), clamp(1, 2)], (clamp(4, 0), clamp(4, 0))])
def test_a_feature_named_twice_is_an_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match="named twice"):
        as_interventions(wrong)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -float("inf")])
def test_a_strength_that_is_not_finite_is_an_error(strength: float) -> None:
    with pytest.raises(ValueError, match="strength of feature 3 must be a finite number"):
        as_interventions({3: strength})


@pytest.mark.parametrize("feature", [-1, 1.5, True, "3", None, float("nan"), float("inf"), (1,)], ids=str)
def test_an_impossible_feature_number_is_an_error(feature: Any) -> None:
    with pytest.raises(ValueError, match="feature must be a whole number from 0 up"):
        clamp(feature, 1.0)
    with pytest.raises(ValueError, match="feature must be a whole number"):
        as_interventions({feature: 1.0})


def test_a_whole_number_of_any_kind_becomes_an_int() -> None:
    frame = pd.DataFrame({"feature": [7], "activation": [0.5]})
    numbers: list[Any] = [7, 7.0, np.int32(7), np.float64(7), frame.iloc[0]["feature"]]
    for number in numbers:
        found = clamp(number, 1).feature
        assert found == 7 and type(found) is int


def test_clamp_is_a_public_frozen_record() -> None:
    found = sw.clamp(12, 6)
    assert found == Intervention(12, 6.0, "clamp")
    with pytest.raises(AttributeError):
        found.strength = 2.0  # type: ignore[misc]


def test_every_kind_of_intervention_is_a_record() -> None:
    assert sw.at_least(3, 2) == Intervention(3, 2.0, "at_least")
    assert sw.add(3, 0.3) == Intervention(3, 0.3, "add")
    assert sw.ablate(3) == sw.clamp(3, 0) == Intervention(3, 0.0)
    assert as_interventions([sw.at_least(1, 1), sw.add(2, 1)]) == (sw.at_least(1, 1), sw.add(2, 1))
    with pytest.raises(ValueError, match="named twice"):
        as_interventions([sw.at_least(1, 1), sw.add(1, 1)])
    with pytest.raises(ValueError, match="kind must be one of clamp, at_least, add, got 'double'"):
        Intervention(3, 1.0, "double")  # type: ignore[arg-type]
    needing = [sw.clamp(1, 2), sw.at_least(1, 2), sw.add(1, 2), sw.ablate(1)]
    assert [item.needs_maximum for item in needing] == [True, True, False, False]


# ---- trust -------------------------------------------------------------------------------------------------------


def report(*statuses: Status, cause: str = "") -> TrustReport:
    return TrustReport(tuple(Finding(f"n{i}", 1.0, s, "x", cause) for i, s in enumerate(statuses)), 100)


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ((), "green"),
        (("green", "green"), "green"),
        (("green", "amber", "green"), "amber"),
        (("amber", "red", "green"), "red"),
    ],
)
def test_the_worst_finding_is_the_verdict(statuses: tuple[Status, ...], worst: Status) -> None:
    assert report(*statuses).status == worst


def test_the_summary_names_the_first_cause_of_the_verdict() -> None:
    assert report("green").summary == "This SAE fits this model."
    assert report("amber").summary == "This SAE may not fit this model."
    assert report("amber", cause="no BOS").summary == "This SAE may not fit this model: no BOS"
    assert report("red", cause="wrong layer").summary == "This SAE does not fit this model: wrong layer"
    mixed = TrustReport(
        (Finding("a", 1, "amber", "", "small"), Finding("b", 1, "red", ""), Finding("c", 1, "red", "", "large")), 1
    )
    assert mixed.summary == "This SAE does not fit this model: large"


def test_the_reports_frame() -> None:
    frame = report("green", "red", cause="c").frame
    assert list(frame.columns) == ["name", "value", "status", "expected", "cause"]
    assert frame["status"].tolist() == ["green", "red"]
    assert list(report().frame.columns) == ["name", "value", "status", "expected", "cause"]


def test_provenance_says_what_it_knows() -> None:
    assert str(Provenance("gpt2", "sae", "hook")) == "gpt2 · hook · sae"
    assert str(Provenance("gpt2")) == "gpt2"
