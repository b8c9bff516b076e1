"""The training monitor in a real JupyterLab."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.slow

SETUP = """
import time
from training_fakes import *
from saewidgets.widgets.training import TrainingMonitor
"""


@pytest.fixture
def monitor(lab):
    """Shows the monitor of a run made by an expression and waits until it has painted so many rows."""

    def show(expression: str, rows: int | None = None):
        root = lab.run(f"{SETUP}\nrun = {expression}\nw = TrainingMonitor(run)\nw").locator(".saew-training").first
        painted(lab, root, lab.ask("run.shown") if rows is None else rows)
        return root

    return show


def painted(lab, root, rows: int) -> None:
    """Wait until so many rows are drawn."""
    deadline = time.monotonic() + 60
    while int(root.get_attribute("data-rows") or -1) < rows:
        assert time.monotonic() < deadline, root.get_attribute("data-rows")
        lab.page.wait_for_timeout(30)


def focus(lab, node) -> None:
    """Focus an element once the notebook, which takes the focus after running a cell, has come to rest."""
    for _ in range(20):
        node.focus()
        lab.page.wait_for_timeout(250)
        if node.evaluate("el => el === document.activeElement"):
            return


def state(root) -> str:
    return root.locator(".saew-state").inner_text()


def value(root, name: str) -> str:
    return root.locator(f".saew-of-{name} .saew-now").inner_text()


# Watching ------------------------------------------------------------------------------------------------------


def test_it_follows_a_run_to_its_end(lab, monitor):
    root = monitor("FakeRun(150)")
    lab.tell("run.tell('running'); run.advance(30)")
    root.locator(".saew-state", has_text="Training").wait_for()
    painted(lab, root, 30)
    assert root.get_by_role("progressbar").get_attribute("aria-valuenow") == "20"
    lab.tell("run.start(0.01)")
    root.locator(".saew-state", has_text="Finished").wait_for(timeout=20_000)
    painted(lab, root, 150)
    assert root.get_by_role("progressbar").get_attribute("aria-valuenow") == "100"
    last = lab.ask("w.frame.iloc[-1].to_dict()")
    assert value(root, "fvu") == f"{last['fvu']:.3g}"
    assert value(root, "loss") == f"{last['loss']:.3g}"
    assert value(root, "l0") == "32"
    assert value(root, "dead").startswith(f"{last['dead']:.0f} · {100 * last['dead'] / 4096:.1f} %")
    assert "2M of 2M" in root.locator(".saew-facts").inner_text()
    assert not root.get_by_role("button", name="Pause").is_visible()
    assert not root.get_by_role("button", name="Stop and keep").is_visible()


def test_time_left_ignores_a_pause(lab, monitor):
    root = monitor("FakeRun(200, shown=50, state='running')")
    assert "Time left\n5 min" in root.locator(".saew-facts").inner_text()
    lab.tell("run.all.loc[55:, 'seconds'] += 5000; run.advance(20)")
    painted(lab, root, 70)
    assert "Time left\n5 min" in root.locator(".saew-facts").inner_text()


def test_what_happens_now_is_said(lab, monitor):
    root = monitor("FakeRun(50)", rows=0)
    assert state(root) == "Waiting"
    lab.tell("run.tell('running', detail='filling the shuffle buffer')")
    root.locator(".saew-detail", has_text="filling the shuffle buffer").wait_for()
    assert root.get_by_role("status").inner_text() == "Training."


def test_a_run_that_failed_says_why_and_what_was_kept(lab, monitor):
    root = monitor("FakeRun(50, shown=20, state='running')")
    lab.tell("run.tell('failed', error='FVU became NaN. The checkpoint of step 200 was kept.')")
    root.get_by_role("alert").filter(has_text="step 200 was kept").wait_for()
    assert state(root) == "Failed"
    assert value(root, "fvu") == lab.ask("f'{w.frame.fvu.iloc[-1]:.3g}'")


def test_two_views_and_one_after_the_end(lab):
    code = f"{SETUP}\nfrom IPython.display import display\nrun = FakeRun(40, shown=10, state='running')"
    lab.run(f"{code}\nw = TrainingMonitor(run)\ndisplay(w)\ndisplay(w)")
    first, second = (lab.page.locator(".saew-training").nth(i) for i in (0, 1))
    painted(lab, second, 10)
    lab.tell("run.advance(30); run.tell('finished')")
    for root in (first, second):
        painted(lab, root, 40)
        root.locator(".saew-state", has_text="Finished").wait_for()
    lab.run(f"{SETUP}\nw2 = TrainingMonitor(FakeRun(30, shown=30, state='stopped'))\nw2")
    late = lab.page.locator(".saew-training").first
    painted(lab, late, 30)
    assert state(late) == "Stopped"


def test_a_reloaded_page_has_the_whole_history_and_goes_on(lab, monitor):
    monitor("FakeRun(400, shown=120, state='running')")
    root = lab.reopened(".saew-training")
    painted(lab, root, 120)
    assert state(root) == "Training"
    lab.tell("run.advance(30)")
    painted(lab, root, 150)
    root.get_by_role("button", name="Pause").click()
    lab.expect("run.calls", ["pause"])


def test_100_000_rows_keep_their_spike(lab, monitor):
    changes = "run.all.loc[60_123, 'loss'] = 3.3\nrun.all.loc[60_124, 'loss'] = 0.05"
    root = monitor(f"FakeRun(100_000, shown=100_000, state='running')\n{changes}")
    path = root.locator(".saew-of-loss .saew-band").get_attribute("d")
    assert len(path) < 60_000
    root.get_by_role("button", name="Log scale").click()
    lab.expect("w.log_scale", True)
    labels = root.locator(".saew-of-loss .saew-grid text").all_text_contents()
    assert "0.1" in labels, "the axis reaches down to the one low row"


# Steering ------------------------------------------------------------------------------------------------------


def test_pause_resume_and_stop_reach_the_run(lab, monitor):
    root = monitor("FakeRun(2000).start(0.05)", rows=1)
    root.get_by_role("button", name="Pause").click()
    root.locator(".saew-state", has_text="Paused").wait_for()
    shown = lab.ask("run.shown")
    root.get_by_role("button", name="Resume").click()
    root.locator(".saew-state", has_text="Training").wait_for()
    painted(lab, root, shown + 2)
    stop = root.locator(".saew-stop")
    stop.click()
    assert stop.inner_text() == "Press again to stop"
    stop.press("Escape")
    assert stop.inner_text() == "Stop and keep"
    stop.click()
    lab.page.wait_for_timeout(500)
    stop.click()
    root.locator(".saew-state", has_text="Stopped").wait_for()
    assert lab.ask("run.calls") == ["pause", "resume", "stop"]
    assert lab.ask("run.shown < 2000")


def test_a_double_click_does_not_stop(lab, monitor):
    root = monitor("FakeRun(50, shown=20, state='running')")
    root.locator(".saew-stop").dblclick()
    lab.page.wait_for_timeout(200)
    assert lab.ask("run.calls") == []


def test_buttons_work_while_a_cell_waits_for_the_run(lab, monitor):
    root = monitor("FakeRun(50, shown=20, state='running')")
    lab.page.evaluate(
        """() => {
          const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
          const code = "end = time.time() + 40\\nwhile not run.calls and time.time() < end: time.sleep(0.05)";
          window.waited = kernel.requestExecute({ code: `${code}\\nheard = list(run.calls)` }).done;
        }"""
    )
    lab.page.wait_for_timeout(200)
    root.get_by_role("button", name="Pause").click()
    lab.page.evaluate("() => window.waited")
    assert lab.ask("heard") == ["pause"]


def test_a_button_that_fails_says_so(lab, monitor):
    root = monitor("FakeRun(50, shown=20, state='running')\nrun.pause = None")
    root.get_by_role("button", name="Pause").click()
    root.get_by_role("alert").filter(has_text="TypeError").wait_for()
    assert root.get_by_role("button", name="Pause").get_attribute("aria-disabled") == "false"
    lab.tell("run.advance()")
    painted(lab, root, 21)
    assert not root.get_by_role("alert").is_visible()


# Reading values --------------------------------------------------------------------------------------------------


def test_one_crosshair_for_all_curves(lab, monitor):
    root = monitor("FakeRun(400, shown=400, state='finished')")
    plot = root.locator(".saew-of-dead .saew-plot")
    plot.hover(position={"x": 260, "y": 60})
    readout = root.locator(".saew-readout").inner_text()
    tokens = int(readout.split(" tokens")[0].replace(",", ""))
    row = lab.ask(f"w.frame[w.frame.tokens == {tokens}].iloc[0].to_dict()")
    assert value(root, "fvu") == f"{row['fvu']:.3g}"
    assert value(root, "loss") == f"{row['loss']:.3g}"
    assert f"step {row['step']:,.0f}" in readout
    crosses = root.locator(".saew-cross").evaluate_all("els => els.map(el => el.getAttribute('d').split('V')[0])")
    assert len(set(crosses)) == 1
    assert abs(float(crosses[0][1:].split()[0]) - 260) < 2
    root.locator(".saew-run-title").hover()
    assert value(root, "fvu") == lab.ask("f'{w.frame.fvu.iloc[-1]:.3g}'")


def test_the_keyboard_reads_rows(lab, monitor):
    root = monitor("FakeRun(400, shown=400, state='finished')")
    slider = root.get_by_role("slider")
    focus(lab, slider)
    lab.page.keyboard.press("Home")
    said = slider.get_attribute("aria-valuetext")
    assert said.startswith("5,000 tokens: Loss ")
    assert "FVU" in said
    assert "Dead features" in said
    lab.page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == "25000"
    lab.page.keyboard.press("End")
    assert slider.get_attribute("aria-valuenow") == "2000000"
    lab.page.keyboard.press("Escape")
    assert root.locator(".saew-readout").inner_text().startswith("Point at a curve")
    for key in ("d", "d", "x", "a"):
        lab.page.keyboard.press(key)
    assert lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == 1


def test_buttons_by_keyboard(lab, monitor):
    root = monitor("FakeRun(3000).start(0.05)", rows=1)
    focus(lab, root.get_by_role("button", name="Pause"))
    lab.page.keyboard.press("Enter")
    root.get_by_role("button", name="Resume").wait_for()
    lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_timeout(500)
    lab.page.keyboard.press("Space")
    root.locator(".saew-state", has_text="Stopped").wait_for()
    focused = lab.page.evaluate("() => document.activeElement.className")
    assert "saew-training" in focused, "the focus stays in the widget when its buttons go"


# Hostile text, themes, size ----------------------------------------------------------------------------------------


def test_hostile_text_stays_text(lab, monitor):
    root = monitor("FakeRun(50, shown=20, title=HOSTILE)")
    lab.tell("run.tell('failed', detail=HOSTILE, error=HOSTILE)")
    root.get_by_role("alert").filter(has_text="</script>").wait_for()
    assert "<img src=x" in root.locator("h3").inner_text()
    assert lab.page.evaluate("() => window.hacked") is None
    assert root.locator("script, img").count() == 0


def luminance(colour: str) -> float:
    numbers = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    channels = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in numbers]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_both_themes_can_be_read(lab, monitor, dark):
    root = monitor("FakeRun(50, shown=20, state='running')\nrun.detail = 'checkpoint saved 12 s ago'")
    lab.dark(dark)
    surface = luminance(root.evaluate("el => getComputedStyle(el).backgroundColor"))
    assert (surface < 0.1) == dark
    parts = ["h3", "dt", "dd", ".saew-detail", "h4 .saew-faint", ".saew-readout", ".saew-hold"]
    curves = [f".saew-of-{name} .saew-now" for name in ("loss", "fvu", "l0", "dead")]
    for part in [*parts, *curves]:
        ink = luminance(root.locator(part).first.evaluate("el => getComputedStyle(el).color"))
        lighter, darker = max(surface, ink), min(surface, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, part
    lab.dark(False)


@pytest.mark.parametrize("width", [360, 480, 760, 1200])
def test_it_fits_its_width(lab, monitor, width):
    root = monitor("FakeRun(50, shown=20, state='running')")
    root.evaluate("(el, width) => { el.style.width = width + 'px'; }", width)
    lab.page.wait_for_timeout(150)
    assert root.evaluate("el => el.scrollWidth - el.clientWidth") <= 0
    boxes = [root.locator(".saew-plot").nth(i).bounding_box() for i in (0, 1)]
    assert (boxes[1]["y"] > boxes[0]["y"] + 100) == (width <= 600)
    right = root.locator(".saew-plot").nth(0).evaluate("el => el.viewBox.baseVal.width")
    assert abs(right - boxes[0]["width"]) < 1, "drawn for this width"
