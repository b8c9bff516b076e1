"""The map live in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from map_fakes import make_space  # pyright: ignore[reportMissingImports]

pytestmark = pytest.mark.slow

SETUP = """
from map_fakes import make_space
from saewidgets.widgets.map import FeatureMap
space = make_space(240, k=25)
def neighbors(feature, k, distance):
    if distance == "coactivation":
        raise ValueError("this session has no index: run s.scan first")
    return space.neighbors(feature, k)
def light(text, stop):
    if "bad" in text:
        raise ValueError("the text is too long")
    return {3: 2.0, 90: float(len(text))}
w = FeatureMap(space, neighbors=neighbors, light=light, search=lambda query: [5], distances=("decoder", "coactivation"))
w
"""


@pytest.fixture(scope="module")
def space() -> Any:
    return make_space(240, k=25)


@pytest.fixture
def live(lab) -> Callable[[], Any]:
    def show() -> Any:
        root = lab.run(SETUP, 120_000).locator(".saew-map").first
        root.and_(lab.page.locator("[data-ready]")).wait_for(timeout=120_000)
        return root

    return show


def test_traits_go_both_ways(lab, live, space):
    root = live()
    lab.tell("w.feature = 17")
    root.locator(".saew-false, .saew-good").first.wait_for()
    shown = root.locator(".saew-row").evaluate_all("rows => rows.map(row => row.feature)")
    assert shown[:10] == space.tables["decoder"].indices[17, :10].tolist()
    root.locator(".saew-row").nth(2).click()
    lab.expect("w.feature", shown[2])
    root.get_by_role("button", name="Select these").click()
    lab.expect("w.frame.feature.tolist() == [w.feature, *w.neighborhood.feature.tolist()]", True)
    lab.tell("w.k = 3")
    root.locator("output", has_text="3").wait_for()


def test_a_distance_that_fails_says_why_and_the_next_one_works(lab, live):
    root = live()
    lab.tell("w.feature = 17")
    root.get_by_label("Distance between features").select_option("coactivation")
    root.locator(".saew-bad", has_text="this session has no index: run s.scan first").wait_for()
    root.get_by_label("Distance between features").select_option("decoder")
    root.locator(".saew-false, .saew-good").first.wait_for()
    lab.expect("w.distance", "decoder")


def test_a_sentence_lights_up_the_map(lab, live):
    root = live()
    field = root.get_by_label("Sentence that lights up the map")
    field.fill("a bridge")
    root.locator(".saew-list-head", has_text="Strongest on your sentence").wait_for()
    lab.expect("w.text", "a bridge")
    assert root.locator(".saew-row").evaluate_all("rows => rows.map(row => row.feature)") == [90, 3]
    assert root.locator(".saew-legend-title").inner_text() == "Activation on your sentence"
    field.fill("a bad bridge")
    root.locator(".saew-problem", has_text="the text is too long").wait_for()
    root.get_by_role("button", name="Put out the light").click()
    root.locator(".saew-legend-title", has_text="Cluster").wait_for()
    lab.expect("w.color_by", "cluster")


def test_the_kernel_adds_to_a_search(lab, live):
    root = live()
    root.locator(".saew-search-field").fill("zzz")
    # Until the kernel answers, clusters are listed there.
    lab.page.wait_for_function(
        """() => [...document.querySelectorAll(".saew-map .saew-row")].map(row => row.feature).join() === "5" """
    )


def test_the_theme_of_the_lab_is_followed(lab, live):
    root = live()
    look = "el => getComputedStyle(el).backgroundColor"
    light = root.evaluate(look)
    lab.dark(True)
    dark = root.evaluate(look)
    lab.dark(False)
    assert light != dark
