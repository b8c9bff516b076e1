"""The feature card: saved pages from their file, and the living one in JupyterLab."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from card_fakes import SILENT, Source, make_card, make_example, make_list  # pyright: ignore[reportMissingImports]
from synthetic import HOSTILE, report  # pyright: ignore[reportMissingImports]

from saewidgets.records import Example, FeatureList
from saewidgets.widgets import FeatureCard

pytestmark = pytest.mark.slow
CLEAR = "rgba(0, 0, 0, 0)"
SAVED = [10, 11, 14, SILENT, 31]
SETUP = """
from card_fakes import *
from synthetic import report
from saewidgets.widgets import FeatureCard
source = Source()
"""


def title(page) -> str:
    return page.locator(".saew-title h3").inner_text()


def colours(tokens) -> list[str]:
    return tokens.evaluate_all("els => els.map(el => getComputedStyle(el).backgroundColor)")


def ready(page, feature: int) -> None:
    page.locator(f".saew-card[data-ready='{feature}']").wait_for()


@pytest.fixture
def page(saved, tmp_path):
    """A saved page of a card, opened; by default of a few features."""

    def open_widget(widget=None, features=SAVED, **options):
        widget = widget or FeatureCard(make_card(10), make_list(), badge=report(), **Source().calls())
        widget.save_html(tmp_path / "page.html", features=features)
        opened = saved(tmp_path / "page.html", **options)
        ready(opened, (features or [widget.feature])[0])
        return opened

    return open_widget


# Saved pages ---------------------------------------------------------------------------------------------------


def test_a_card_shows_what_its_record_says(page):
    opened, data = page(), make_card(10)
    stats = data.stats
    assert title(opened).split("\n")[0] == stats.label
    tiles = opened.locator(".saew-tile b").all_inner_texts()
    assert tiles[1:] == [f"{stats.maximum:.3g}", f"{stats.mean:.3g}", f"{stats.label_score:.2f}"]
    assert opened.locator(".saew-weights").nth(0).locator("li").count() == len(data.promoted)
    assert opened.locator(".saew-weights .saew-num").first.inner_text() == f"+{data.promoted[0].weight:.2f}"
    names = opened.locator(".saew-related").nth(0).locator(".saew-num").all_inner_texts()
    assert names == [f"{other.value:.2f}" for other in data.neighbors]
    assert opened.locator(".saew-related").nth(2).locator(".saew-num").all_inner_texts()[2] == "−0.44"


def test_examples_are_coloured_where_the_feature_fires(page):
    opened, example = page(), make_card(10).top[0]
    opened.locator(".saew-example").first.click()
    whole = opened.locator(".saew-whole .saew-t")
    assert whole.count() == len(example.str_tokens)
    fires = (example.activations > 0) & ~example.skipped
    assert [c != CLEAR for c in colours(whole)] == fires.tolist()
    whole.nth(example.position).hover()
    assert f"{example.value:.3g}" in opened.locator(".saew-tip").inner_text()


def test_peaks_stand_in_one_column(page):
    opened = page()
    lefts = opened.locator(".saew-line .saew-about").evaluate_all(
        "els => els.map(el => el.getBoundingClientRect().left)"
    )
    assert len(lefts) == 10
    assert max(lefts) - min(lefts) < 1


def test_saved_features_are_browsed_without_a_kernel(page):
    opened = page()
    seen = []
    for _ in SAVED:
        seen.append(int(opened.locator(".saew-goto").input_value()))
        opened.keyboard.press("j")
    assert seen == [*sorted(SAVED)[1:], max(SAVED)]
    opened.keyboard.press("b")
    assert opened.locator(".saew-goto").input_value() == "14"
    opened.locator(".saew-all-row", has_text="bridges").click()
    assert title(opened).startswith("bridges")
    opened.locator(".saew-goto").fill("5")
    opened.keyboard.press("Enter")
    assert "never fired on the 2,104,332 tokens" in opened.locator(".saew-silence").inner_text()
    assert not opened.locator(".saew-examples").is_visible()
    assert not opened.locator(".saew-histogram").is_visible()
    opened.locator(".saew-goto").fill("77")
    opened.keyboard.press("Enter")
    assert opened.locator(".saew-goto").input_value() == "5"


def test_a_saved_page_offers_only_what_works_in_it(page):
    opened = page()
    assert not opened.locator(".saew-tester").is_visible()
    assert not opened.get_by_role("button", name="Label").is_visible()
    opened.locator(".saew-example").first.click()
    assert not opened.locator(".saew-opened .saew-choice").is_visible()
    links = opened.locator("button.saew-related-row")
    reached = links.evaluate_all("els => els.map(el => [el.feature, !el.disabled])")
    assert [there for _, there in reached] == [feature in SAVED for feature, _ in reached]


def test_effects_computed_before_are_saved(page):
    card = FeatureCard(make_card(10), make_list(), **Source().calls())
    example = card.data.top[0]
    effect = Source().ablate(example, 10, threading.Event())
    card._cards.add_effect(10, 0, effect)
    opened = page(card, features=None)
    opened.locator(".saew-example").first.click()
    opened.get_by_role("button", name="Ablation effect").click()
    classes = opened.locator(".saew-whole .saew-t").evaluate_all("els => els.map(el => el.className)")
    most = max(0.3, abs(effect[1:]).max())
    assert ["saew-helped" in name for name in classes[1:]] == (effect[1:] >= 0.3 * most).tolist()
    assert ["saew-hurt" in name for name in classes[1:]] == (effect[1:] <= -0.3 * most).tolist()
    best = example.str_tokens[1 + int(effect[1:].argmax())].strip()
    assert best in opened.locator(".saew-effect-words").inner_text().split("hurt")[0]
    opened.get_by_role("button", name="Activation", exact=True).click()
    assert opened.locator(".saew-whole .saew-helped").count() == 0


def test_intervals_are_picked_from_the_histogram(page):
    opened, data = page(), make_card(10)
    assert opened.locator(".saew-interval").count() == 11
    opened.locator(".saew-interval").nth(6).click()
    shown = [float(text) for text in opened.locator(".saew-open").all_inner_texts()]
    expected = sorted((e.value for e in data.intervals if e.interval == 7), reverse=True)
    assert shown == [float(f"{value:.3g}") for value in expected]
    assert all(6 / 11 <= value / data.stats.maximum <= 7 / 11 for value in expected)
    opened.get_by_role("button", name="Across the range").click()
    heads = opened.locator(".saew-interval-head").all_inner_texts()
    assert [int(re.findall(r"\d+", head)[0]) for head in heads] == list(range(11, 0, -1))
    opened.get_by_role("button", name="Strongest").click()
    opened.get_by_role("button", name="Show 10 more").click()
    assert opened.locator(".saew-example").count() == 20


def test_keys_reach_examples_and_their_tokens(page):
    opened = page()
    opened.locator(".saew-open[tabindex='0']").focus()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    assert opened.locator(".saew-example").nth(1).get_attribute("data-open") == ""
    opened.locator(".saew-whole .saew-t[tabindex='0']").focus()
    opened.keyboard.press("ArrowRight")
    said = opened.locator(".saew-card > .saew-unseen").inner_text()
    example = make_card(10).top[1]
    assert said.startswith(example.str_tokens[example.position + 1].replace(" ", "·"))


def test_the_list_filters_and_sorts(page):
    opened, everything = page(features=range(200)), make_list().frame[:200]
    rows = opened.locator(".saew-all-row")

    def shown() -> list[int]:
        return [int(number) for number in opened.locator(".saew-all-number").all_inner_texts()]

    opened.get_by_label("Sort by").select_option(label="by density")
    expected = everything.sort_values(["density", "feature"], ascending=[False, True]).feature.tolist()
    assert shown() == expected[: rows.count()]
    opened.get_by_role("button", name="Reverse the order").click()
    expected = everything.sort_values(["density", "feature"]).feature.tolist()
    assert shown() == expected[: rows.count()]
    opened.get_by_label("Sort by").select_option(label="by label score")
    expected = everything.sort_values(["label_score", "feature"], ascending=[False, True]).feature.tolist()
    assert shown() == expected[: rows.count()]
    opened.get_by_label("Density").select_option(label="0.01 to 0.1 %")
    opened.get_by_label("Filter features").fill("BRIDGES")
    kept = everything[everything.label.str.contains("bridges") & everything.density.between(0.0001, 0.001)]
    expected = kept.sort_values(["label_score", "feature"], ascending=[False, True]).feature.tolist()
    assert shown() == expected
    assert opened.locator(".saew-total").inner_text().startswith(f"{len(expected)} of 200 features saved of 16,384")
    opened.keyboard.press("Enter")
    ready(opened, expected[0])
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("ArrowDown")
    ready(opened, expected[1])
    opened.get_by_label("Filter features").fill("")
    opened.get_by_label("Density").select_option(label="never fires")
    assert set(shown()) == set(everything.feature[everything.density == 0])


def test_hostile_tokens_and_labels_are_only_text(page):
    tokens = list(HOSTILE)
    example = Example(tokens, np.ones(len(tokens), np.float32), 3, source=HOSTILE[0])
    data = make_card(10, top=[example], notes=[HOSTILE[1]])
    plain = make_list(100)
    names = [HOSTILE[i % 2] for i in range(100)]
    opened = page(FeatureCard(data, FeatureList(plain.density, plain.maximum, names, plain.label_scores)), None)
    opened.locator(".saew-example").first.click()
    assert opened.locator(".saew-whole .saew-t").count() == len(tokens)
    assert opened.evaluate("() => window.hacked") is None
    assert opened.locator(".saew-notes").inner_text().startswith("<img")


def test_text_from_right_to_left_is_mirrored(page):
    tokens = ["שלום", " על", " הגשר", " הגדול"]
    opened = page(
        FeatureCard(make_card(10, top=[Example(tokens, np.array([0, 0, 9, 0], np.float32), 2)]), make_list()), None
    )
    line = opened.locator(".saew-line").first
    assert line.get_attribute("dir") == "rtl"
    before, about = (line.locator(place).bounding_box() for place in (".saew-t >> nth=0", ".saew-about"))
    assert before["x"] > about["x"]


@pytest.mark.parametrize("width", [480, 1180])
def test_nothing_is_wider_than_its_page(page, width):
    opened = page(viewport={"width": width, "height": 900})
    opened.locator(".saew-example").first.click()
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= width
    reading = opened.locator(".saew-reading")
    assert reading.evaluate("el => el.scrollWidth <= el.clientWidth")
    if width == 480:
        opened.get_by_role("button", name="All features").click()
        opened.locator(".saew-all-row", has_text="dates").first.click()
        assert title(opened).startswith("dates")
        assert not opened.locator(".saew-aside").is_visible()


def test_a_view_that_ends_leaves_no_listener_behind(page):
    opened = page()
    left = opened.evaluate(
        """() => {
          let watched = 0;
          const badge = { status: "green", findings: [] };
          const traits = { badge, feature: 3, features: null, _can: ["load", "test"] };
          const model = { get: (name) => traits[name], on: () => watched++, off: () => watched--, send() {} };
          const el = document.createElement("div");
          document.body.append(el);
          const stop = widget.render({ model, el });
          const during = [watched >= 4, el.children.length];
          stop();
          return [during, watched, el.children.length];
        }"""
    )
    assert left == [[True, 1], 0, 0]


# JupyterLab ----------------------------------------------------------------------------------------------------


@pytest.fixture
def card(lab):
    """Shows a living card and returns its locator once it is painted."""

    def show(expression: str = "FeatureCard(make_card(10), make_list(), badge=report(), **source.calls())"):
        root = lab.run(f"{SETUP}\nw = {expression}\nw").locator(".saew-card").first
        root.and_(lab.page.locator("[data-ready]")).wait_for()
        root.locator(".saew-all-row").first.wait_for()
        return root

    return show


def test_browsing_goes_both_ways(lab, card):
    root = card()
    root.get_by_role("button", name="Next").click()
    ready(lab.page, 11)
    lab.expect("w.feature", 11)
    lab.tell("w.feature = 4000")
    ready(lab.page, 4000)
    assert root.locator(".saew-current").inner_text().startswith("4000")
    root.locator("button.saew-related-row").first.click()
    went = make_card(4000).neighbors[0].feature
    ready(lab.page, went)
    lab.expect("w.feature", went)
    root.get_by_role("button", name="Back").click()
    ready(lab.page, 4000)
    lab.expect("len(w.frame)", len(make_card(4000).frame))
    assert lab.ask("source.loaded.count(4000)") == 1


def test_a_card_that_is_known_asks_nobody(lab, card):
    root = card()
    root.get_by_role("button", name="Next").click()
    ready(lab.page, 11)
    lab.page.wait_for_timeout(600)
    asked = sum('"card"' in str(frame) for frame in lab.sent)
    root.get_by_role("button", name="Next").click()
    ready(lab.page, 12)
    root.get_by_role("button", name="Back").click()
    ready(lab.page, 11)
    assert sum('"card"' in str(frame) for frame in lab.sent) == asked


def test_holding_an_arrow_key_in_the_list_leaves_no_backlog(lab, card):
    root = card("FeatureCard(make_card(10), make_list(131_072), badge=report(), **Source(0.05).calls())")
    assert root.locator(".saew-total").inner_text() == "131,072 features"
    root.locator(".saew-all").focus()
    for _ in range(60):
        lab.page.keyboard.press("ArrowDown")
    ready(lab.page, 70)
    lab.expect("w.feature", 70)
    assert root.locator(".saew-all-row").count() < 60
    lab.page.keyboard.press("End")
    ready(lab.page, 131_071)
    lab.expect("w._answers.busy", False)


def test_a_sentence_is_run_while_it_is_typed_and_again_on_the_next_card(lab, card):
    root = card()
    field = root.get_by_label("Your own sentence", exact=True)
    field.press_sequentially("A stone bridge in May", delay=5)
    root.locator(".saew-tested .saew-t", has_text="May").wait_for()
    example = make_example(10, "A stone bridge in May")
    expected = ((example.activations > 0) & ~example.skipped).tolist()
    assert [c != CLEAR for c in colours(root.locator(".saew-tested .saew-t"))] == expected
    assert root.locator(".saew-tested-said").inner_text().startswith("fires on 1 token, at most")
    root.get_by_role("button", name="Next").click()
    ready(lab.page, 11)
    assert field.input_value() == "A stone bridge in May"
    lab.expect("source.tested[-1]", ["A stone bridge in May", 11])
    field.fill("refuse")
    root.locator(".saew-tested-said.saew-wrong").wait_for()
    assert "longer than the model" in root.locator(".saew-tested-said").inner_text()


def test_the_ablation_effect_of_an_example_and_of_a_sentence(lab, card):
    root = card()
    root.locator(".saew-example").nth(1).click()
    root.get_by_role("button", name="Ablation effect").click()
    root.locator(".saew-effect-words", has_text="helped most").wait_for()
    assert root.locator(".saew-helped").count() > 0
    root.locator(".saew-helped").first.hover()
    assert "helped this token" in root.locator(".saew-tip").inner_text()
    assert lab.ask("source.ablated[0][0]") == list(make_card(10).top[1].str_tokens)
    root.get_by_label("Your own sentence", exact=True).fill("The bridge is long and old.")
    tested = root.locator(".saew-tested")
    tested.get_by_role("button", name="Ablation effect").click()
    tested.locator(".saew-effect-words", has_text="most").wait_for()
    lab.expect("len(source.ablated)", 2)


def test_a_label_is_written_in_place(lab, card):
    root = card()
    root.get_by_role("button", name="Label", exact=True).click()
    field = root.get_by_label("Label of this feature")
    field.fill("crossing water")
    field.press("Enter")
    lab.expect("source.labels", {"10": "crossing water"})
    root.locator(".saew-current", has_text="crossing water").wait_for()
    assert "your label" in root.locator(".saew-title .saew-subtitle").inner_text()
    root.get_by_role("button", name="Label", exact=True).click()
    root.get_by_label("Label of this feature").fill("refuse")
    root.get_by_role("button", name="Keep").click()
    root.locator(".saew-title .saew-wrong").wait_for()
    assert "read-only" in root.locator(".saew-title .saew-wrong").inner_text()
    assert root.get_by_label("Label of this feature").input_value() == "refuse"
    root.get_by_role("button", name="Cancel").click()
    assert root.locator(".saew-title h3").inner_text().startswith("crossing water")
    lab.expect("w.all_features.labels[10]", "crossing water")


def test_search_finds_what_no_label_says(lab, card):
    root = card()
    root.get_by_label("Filter features").fill("river")
    root.locator(".saew-all-row[title='promotes “river”']").first.wait_for()
    assert root.locator(".saew-all-number").all_inner_texts() == [str(f) for f in range(0, 200, 10)]


def test_features_chosen_elsewhere_are_listed(lab, card):
    root = card()
    lab.tell("w.features = [7, 300, 12]")
    root.locator(".saew-total", has_text="3 of").wait_for()
    assert root.locator(".saew-all-number").all_inner_texts() == ["7", "12", "300"]
    root.get_by_role("button", name="3 features chosen").click()
    lab.expect("w.features", None)
    root.locator(".saew-total", has_text="16,384 features").wait_for()


def test_a_card_that_cannot_be_loaded_says_why_and_the_next_one_works(lab, card):
    root = card("FeatureCard(make_card(10), make_list(), load=lambda f, stop: make_card(f) if f != 11 else {}['gone'])")
    lab.page.wait_for_timeout(400)
    root.get_by_role("button", name="Next").click()
    root.locator(".saew-problem", has_text="Feature 11 could not be shown").wait_for()
    root.get_by_role("button", name="Next").click()
    ready(lab.page, 12)
    assert not root.locator(".saew-problem").is_visible()
