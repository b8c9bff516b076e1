"""The toy's panel in a real JupyterLab, and its saved page."""

from __future__ import annotations

import numpy as np
import pytest
from toy_fakes import FakeToy  # pyright: ignore[reportMissingImports]
from training_fakes import HOSTILE  # pyright: ignore[reportMissingImports]

from saewidgets.widgets.toy import ToyPanel

pytestmark = pytest.mark.slow

SETUP = """
from toy_fakes import *
from training_fakes import HOSTILE
from saewidgets.widgets.toy import ToyPanel
"""


@pytest.fixture
def panel(lab):
    """Shows the panel of a toy made by an expression."""

    def show(expression: str = "FakeToy()"):
        code = f"{SETUP}\ntoy = {expression}\nw = ToyPanel(toy.run, toy.view)\nw"
        root = lab.run(code).locator(".saew-toy").first
        root.and_(lab.page.locator("[data-frame]")).wait_for()
        return root

    return show


def played(toy: FakeToy, step: int = 2) -> ToyPanel:
    """A panel that has seen the whole run."""
    widget = ToyPanel(toy.run, toy.view)
    toy.run.tell("running")
    while toy.run.shown < len(toy.run.all):
        widget._looked = -1
        toy.run.advance(step)
    toy.run.tell("finished")
    return widget


@pytest.fixture
def page(saved, tmp_path):
    def open_widget(widget, **options):
        widget.save_html(tmp_path / "page.html")
        page = saved(tmp_path / "page.html", **options)
        page.locator(".saew-toy[data-frame]").wait_for()
        return page

    return open_widget


def score(root) -> str:
    return root.locator(".saew-many").first.inner_text()


def move(page, slider, to: int) -> None:
    """Drag the slider to a value and wait for the paint."""
    slider.evaluate("(el, to) => { el.value = to; el.dispatchEvent(new Event('input')); }", to)
    page.wait_for_timeout(50)


# In JupyterLab -------------------------------------------------------------------------------------------------


def test_recovery_is_watched_to_its_end_and_replayed(lab, panel):
    root = panel()
    assert score(root) == "0 of 64"
    assert "begun" in root.locator(".saew-sentence").inner_text()
    lab.tell("toy.run.start(0.03)")
    root.locator(".saew-state", has_text="Training").wait_for()
    assert not root.locator(".saew-replay").is_visible()
    root.locator(".saew-state", has_text="Finished").wait_for(timeout=30_000)
    root.locator(".saew-many", has_text="61 of 64").wait_for()
    assert lab.ask("int(w.frame.recovered.sum())") == 61
    assert "The 3 still missing are rarer" in root.locator(".saew-sentence").inner_text()
    slider = root.locator(".saew-range")
    assert int(slider.get_attribute("max")) > 5
    slider.focus()
    lab.page.keyboard.press("Home")
    root.locator(".saew-many", has_text="0 of 64").wait_for()
    root.get_by_role("button", name="Replay training").click()
    root.get_by_role("button", name="Hold").wait_for()
    root.locator(".saew-many", has_text="61 of 64").wait_for(timeout=20_000)
    root.get_by_role("button", name="Replay training").wait_for()


def test_the_strip_pauses_resumes_and_stops(lab, panel):
    root = panel("FakeToy(rows=3000)")
    lab.tell("toy.run.start(0.03)")
    root.get_by_role("button", name="Pause").click()
    root.locator(".saew-state", has_text="Paused").wait_for()
    root.get_by_role("button", name="Resume").click()
    root.locator(".saew-state", has_text="Training").wait_for()
    root.locator(".saew-stop").click()
    lab.page.wait_for_timeout(500)
    root.locator(".saew-stop").click()
    root.locator(".saew-state", has_text="Stopped").wait_for()
    assert lab.ask("toy.run.calls") == ["pause", "resume", "stop"]
    assert root.locator(".saew-replay").is_visible()


def test_arrows_swing_onto_the_rays(lab, panel):
    root = panel("FakeToy(5, 2, 7, found=5)")
    assert root.locator(".saew-planted").count() == 5
    assert root.locator(".saew-arrow").count() == 7
    lab.tell("toy.run.tell('running'); toy.run.advance(100); toy.run.tell('finished')")
    root.locator(".saew-many", has_text="5 of 5").wait_for()
    lab.page.wait_for_timeout(400)
    turns = root.locator(".saew-arrow").evaluate_all(
        "els => els.map(el => parseFloat(el.getAttribute('transform').slice(7)))"
    )
    wanted = lab.ask("(-np.degrees(np.arctan2(*toy.view().decoder.T[::-1]))).tolist()")
    assert np.allclose(np.cos(np.radians(np.subtract(turns, wanted))), 1, atol=1e-4)
    assert root.locator(".saew-planted.saew-found").count() == 5
    assert root.locator(".saew-arrow.saew-on").count() == 5
    painted = root.locator(".saew-cloud").evaluate(
        "el => el.getContext('2d').getImageData(0, 0, el.width, el.height).data.some((v) => v > 0)"
    )
    assert painted


def test_a_reloaded_page_has_all_snapshots(lab, panel):
    panel()
    lab.tell("toy.run.start(0.02)")
    lab.page.wait_for_timeout(3500)
    lab.expect("toy.run.state", "finished")
    root = lab.reopened(".saew-toy")
    root.locator(".saew-many", has_text="61 of 64").wait_for()
    assert root.locator(".saew-range").get_attribute("max") == str(lab.ask("len(w._recorder.kept) - 1"))


def test_a_panel_made_while_it_runs_waits_for_its_first_look(lab):
    code = "toy = FakeToy(shown=20, state='running')\nw = ToyPanel(toy.run, toy.view)\nw"
    root = lab.run(f"{SETUP}\n{code}").locator(".saew-toy").first
    root.locator(".saew-facts", has_text="10k of 50k").wait_for()
    assert not root.locator(".saew-toy-body").is_visible()
    lab.tell("toy.run.advance()")
    root.locator(".saew-figure-body").wait_for()


def test_a_view_that_fails_says_so_and_the_run_goes_on(lab, panel):
    root = panel()
    lab.tell("w._view = lambda: 1 / 0; toy.run.tell('running'); w._looked = -1; toy.run.advance()")
    alert = root.get_by_role("alert").filter(has_text="ZeroDivisionError")
    alert.wait_for()
    lab.tell("w._send_blob('acts', None, w._page_blob())")  # as after a gap: what was known before
    lab.page.wait_for_timeout(500)
    assert alert.is_visible()
    lab.tell("w._view = toy.view; toy.run.advance(99); toy.run.tell('finished')")
    root.locator(".saew-many", has_text="61 of 64").wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_both_themes_can_be_read(lab, panel, dark):
    root = panel("FakeToy(5, 2, 7)")
    lab.dark(dark)
    surface = luminance(root.evaluate("el => getComputedStyle(el).backgroundColor"))
    assert (surface < 0.1) == dark
    quiet = [".saew-idea", ".saew-what", ".saew-sentence", ".saew-readout", ".saew-figure-heads", ".saew-keys", "dt"]
    for part in ["h3", ".saew-many", "figcaption", *quiet]:
        ink = luminance(root.locator(part).first.evaluate("el => getComputedStyle(el).color"))
        lighter, darker = max(surface, ink), min(surface, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, part
    lab.dark(False)


def luminance(colour: str) -> float:
    numbers = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    channels = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in numbers]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


@pytest.mark.parametrize("toy", ["FakeToy()", "FakeToy(5, 2, 7)"])
@pytest.mark.parametrize("width", [360, 480, 900, 1200])
def test_it_fits_its_width(lab, panel, width, toy):
    root = panel(toy)
    root.evaluate("(el, width) => { el.style.width = width + 'px'; }", width)
    lab.page.wait_for_timeout(150)
    assert root.evaluate("el => el.scrollWidth - el.clientWidth") <= 0
    assert root.locator(".saew-matrix").bounding_box()["width"] >= 150


# The saved page --------------------------------------------------------------------------------------------------


def test_a_saved_page_replays_without_a_kernel(page):
    opened = page(played(FakeToy()))
    assert score(opened) == "61 of 64"
    slider = opened.locator(".saew-range")
    scores = []
    for to in (0, 20, 40, int(slider.get_attribute("max"))):
        move(opened, slider, to)
        scores.append(int(score(opened).split()[0]))
    assert scores == sorted(scores)
    assert (scores[0], scores[-1]) == (0, 61)
    assert 5 < scores[1] < 60
    assert "tokens · FVU" in opened.locator(".saew-where").inner_text()
    assert slider.get_attribute("aria-valuetext") == opened.locator(".saew-where").inner_text()
    assert opened.get_by_role("button", name="Pause").count() == 0


def test_the_picture_is_the_cosine_matrix_with_a_diagonal(page):
    toy = FakeToy()
    opened = page(played(toy))
    alpha = opened.locator(".saew-matrix").evaluate(
        """el => {
          const { data } = el.getContext('2d').getImageData(0, 0, el.width, el.height);
          const signed = (i) => data[4 * i + 3] * (data[4 * i] > data[4 * i + 2] ? 1 : -1);
          return [el.width, el.height, Array.from({ length: el.width * el.height }, (_, i) => signed(i))];
        }"""
    )
    assert alpha[:2] == [96, 64]
    picture = np.array(alpha[2]).reshape(64, 96) / 255
    diagonal = np.sort(np.diag(picture))
    assert (diagonal[3:] > 0.9).all()
    # Every cosine is there, in another order of columns.
    order = np.argsort(-toy.frequency, kind="stable")
    shown = np.sort(np.sign(picture) * np.abs(picture) ** (1 / 1.5), axis=1)
    expected = np.sort(toy.view().cosine[order], axis=1)
    assert np.abs(shown - expected)[np.abs(expected) > 0.1].max() < 0.03


def test_rows_are_read_by_pointer_and_by_key(page):
    toy = FakeToy()
    opened = page(played(toy))
    figure = opened.locator(".saew-figure-body")
    order = np.argsort(-toy.frequency, kind="stable")
    frame = toy.view().frame
    figure.focus()
    opened.keyboard.press("Home")
    opened.keyboard.press("ArrowDown")
    said = figure.get_attribute("aria-valuetext")
    row = frame.loc[order[1]]
    assert said.startswith(f"planted direction {order[1]}, active in {100 * row['frequency']:.3g} % of the samples")
    assert f"SAE feature {row['best_sae_feature']}, cosine {row['cosine']:.3f}" in said
    opened.keyboard.press("End")
    assert figure.get_attribute("aria-valuenow") == "64"
    opened.keyboard.press("Escape")
    assert opened.locator(".saew-readout").inner_text().startswith("Point at a row")
    box = figure.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 10.5 / 64)
    assert opened.locator(".saew-readout").inner_text().startswith(f"planted direction {order[10]}")


def test_fewer_features_than_directions(page):
    opened = page(played(FakeToy(40, 20, 12, found=12)))
    assert score(opened) == "12 of 40"
    assert opened.locator(".saew-matrix").evaluate("el => [el.width, el.height]") == [12, 40]


def test_a_saved_page_in_the_dark_with_hostile_text(page):
    toy = FakeToy(5, 2, 7)
    widget = played(toy)
    toy.run.title, toy.run.state, toy.run.error = HOSTILE, "failed", HOSTILE
    opened = page(widget, color_scheme="dark", reduced_motion="reduce")
    assert opened.evaluate("() => window.hacked") is None
    assert opened.locator(".saew").evaluate("el => getComputedStyle(el).backgroundColor") == "rgb(20, 23, 27)"
    assert "</script>" in opened.get_by_role("alert").inner_text()


def test_a_large_matrix_replays_smoothly(page):
    opened = page(played(FakeToy(256, 64, 512, rows=40, found=256)))
    paints = opened.locator(".saew-range").evaluate(
        """(el) => Array.from({ length: Number(el.max) }, (_, to) => {
          const began = performance.now();
          el.value = to;
          el.dispatchEvent(new Event('input'));
          return performance.now() - began;
        })"""
    )
    assert np.median(paints) < 90, "the pace of the replay"


def test_a_view_that_ends_leaves_nothing_behind(page):
    opened = page(played(FakeToy(5, 2, 7)))
    left = opened.evaluate(
        """() => {
          let [watched, timers] = [0, 0];
          const [set, clear] = [window.setInterval, window.clearInterval];
          window.setInterval = (...given) => (timers++, set(...given));
          window.clearInterval = (id) => (id && timers--, clear(id));
          const status = { title: "t", state: "running", error: "", detail: "", total_tokens: 9, d_sae: 9, k: 1 };
          const traits = { _status: status, _live: true };
          const model = { get: (name) => traits[name], on: () => watched++, off: () => watched--, send() {} };
          const el = document.createElement("div");
          document.body.append(el);
          const stop = widget.render({ model, el });
          const during = [watched, timers, el.children.length];
          stop();
          return [during, watched, timers, el.children.length];
        }"""
    )
    assert left == [[2, 1, 1], 0, 0, 0]
