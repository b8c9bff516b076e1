"""Saved pages of the training monitor: curves without a kernel."""

from __future__ import annotations

import pytest
from training_fakes import HOSTILE, FakeRun  # pyright: ignore[reportMissingImports]

from saewidgets.widgets.training import TrainingMonitor

pytestmark = pytest.mark.slow


@pytest.fixture
def page(saved, tmp_path):
    def open_widget(run, **options):
        TrainingMonitor(run).save_html(tmp_path / "page.html")
        page = saved(tmp_path / "page.html", **options)
        page.locator(f".saew-training[data-rows='{run.shown}']").wait_for()
        return page

    return open_widget


def test_a_saved_page_keeps_the_curves_and_steers_nothing(page):
    opened = page(FakeRun(300, shown=200, state="running"))
    assert opened.locator(".saew-state").inner_text() == "Training when saved"
    assert "cannot be steered" in opened.locator(".saew-run").inner_text()
    assert opened.get_by_role("button", name="Pause").count() == 0
    opened.locator(".saew-plot").nth(1).hover(position={"x": 200, "y": 50})
    assert "step " in opened.locator(".saew-readout").inner_text()
    before = opened.locator(".saew-of-fvu .saew-line-mean").get_attribute("d")
    opened.get_by_role("button", name="Log scale").click()
    opened.wait_for_timeout(100)
    assert opened.locator(".saew-of-fvu .saew-line-mean").get_attribute("d") != before


def test_a_saved_page_in_the_dark_with_hostile_text(page):
    run = FakeRun(30, shown=30, state="failed", title=HOSTILE)
    run.error = HOSTILE
    opened = page(run, color_scheme="dark")
    assert opened.evaluate("() => window.hacked") is None
    assert opened.locator(".saew").evaluate("el => getComputedStyle(el).backgroundColor") == "rgb(20, 23, 27)"
    assert "</script>" in opened.get_by_role("alert").inner_text()


def test_an_empty_run_has_axes_and_says_so(page):
    opened = page(FakeRun(30))
    assert "first row" in opened.locator(".saew-readout").inner_text()
    assert opened.locator(".saew-now").all_inner_texts() == ["–"] * 4


def test_a_view_that_ends_leaves_nothing_behind(page):
    opened = page(FakeRun(30, shown=20))
    left = opened.evaluate(
        """() => {
          let [watched, timers] = [0, 0];
          const [set, clear] = [window.setInterval, window.clearInterval];
          window.setInterval = (...given) => (timers++, set(...given));
          window.clearInterval = (...given) => (timers--, clear(...given));
          const status = { title: "t", state: "running", error: "", detail: "", total_tokens: 9, d_sae: 9, k: 1 };
          const traits = { _status: status, _live: true, log_scale: false };
          const model = { get: (name) => traits[name], on: () => watched++, off: () => watched--, send() {} };
          const el = document.createElement("div");
          document.body.append(el);
          const stop = widget.render({ model, el });
          const during = [watched, timers, el.children.length];
          stop();
          return [during, watched, timers, el.children.length];
        }"""
    )
    assert left == [[3, 1, 1], 0, 0, 0]
