"""One stylesheet a widget, whose short class names hold inside that widget only."""

from __future__ import annotations

import re

import pytest

from saewidgets.widgets import (
    FeatureCard,
    FeatureMap,
    SteeringPanel,
    TokenHeatmap,
    ToyPanel,
    TrainingMonitor,
    TrustPanel,
)
from saewidgets.widgets.shared import bundle

WIDGETS = (FeatureCard, FeatureMap, SteeringPanel, TokenHeatmap, ToyPanel, TrainingMonitor, TrustPanel)


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget.__name__)
def test_every_rule_of_a_widget_names_it(widget: type) -> None:
    folder = widget.__module__.split(".")[2]
    css = str(widget._css)  # type: ignore[attr-defined]
    shared = "\n".join(path.read_text("utf-8") for path in sorted((bundle.WIDGETS / "shared").rglob("*.css")))
    assert css.count("{") == css.count("}")
    own = [p for p in re.findall(r"([^{}]+)\{", css) if p.strip() not in shared]
    for prelude in own:
        if not re.match(r"\s*(@|from|to|\d)", prelude):
            assert prelude.count("(") == prelude.count(")")
            assert f".saew-{folder}" in prelude, prelude
    assert own


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (".saew .saew-head h3 { x: y }", ".saew:where(.saew-map) .saew-head h3 { x: y }"),
        (
            ".saew-row, .saew-side > b { x: y }",
            ":where(.saew-map) .saew-row, :where(.saew-map) .saew-side > b { x: y }",
        ),
        (".saew-map.saew-narrow .saew-row { x: y }", ".saew-map.saew-narrow .saew-row { x: y }"),
        (".saew :is(.a, .b:not(.c, .d)) i { x: y }", ".saew:where(.saew-map) :is(.a, .b:not(.c, .d)) i { x: y }"),
        (".saew[data-busy] .saew-row { x: y }", ".saew:where(.saew-map)[data-busy] .saew-row { x: y }"),
        (".saew-rows { x: y }", ":where(.saew-map) .saew-rows { x: y }"),
        ("@keyframes k { 50% { x: y } }", "@keyframes k { 50% { x: y } }"),
        ("@media print { .saew-row { x: y } }", "@media print {:where(.saew-map) .saew-row { x: y } }"),
        ("/* why, { */ .saew-row { x: y }", ":where(.saew-map) .saew-row { x: y }"),
    ],
)
def test_selectors_are_held_inside_and_no_more_specific(
    before: str, after: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "WIDGETS", tmp_path)
    (tmp_path / "map").mkdir()
    name = f"map/{abs(hash(before))}.css"  # parts are kept by name
    (tmp_path / name).write_text(before)
    assert bundle.bundle_css([name]) == after
