"""The slider of a recorded sweep in a real Chromium: from a moved hand to the other text.

The demo writes one prompt at seventeen strengths; the saved page's slider is then moved from strength to strength.
*text* is the time until the text in the page is the new one (the handler's own work), *frame* until the next painted
frame, which on a screen of 60 Hz is up to 16.7 ms away even when nothing is done.

Run with ``python benchmarks/scrub.py``; the goal is 16 ms for the work.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from common import spread, versions
from paint import FLAGS

import saewidgets as sw

FEATURE, TOKENS, ROUNDS = 5535, 48, 6
MOVED = """async (to) => {
  const slider = document.querySelector(".saew-dial-input"), prose = document.querySelector(".saew-prose-steered");
  const before = prose.textContent, start = performance.now();
  slider.value = to;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  const text = performance.now() - start, changed = prose.textContent !== before;
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
  return [text, performance.now() - start, changed];
}"""


def moved(browser: Any, path: Path, strengths: list[float]) -> dict[str, list[float]]:
    """Milliseconds of every move; the slider goes up and down through the strengths."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    page.locator(".saew-steering[data-ready]").wait_for()
    times: dict[str, list[float]] = {"text": [], "frame": []}
    for round_number in range(ROUNDS):
        for strength in strengths if round_number % 2 else reversed(strengths):
            text, frame, changed = page.evaluate(MOVED, strength)
            if changed:
                times["text"].append(text)
                times["frame"].append(frame)
            page.wait_for_timeout(40)
    return times


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    print(versions("saewidgets", "anywidget", "playwright"))
    panel = sw.demo().steer("Tell me about your day.", {FEATURE: 1.0}, max_new_tokens=TOKENS)
    panel.run_sweep(FEATURE)
    panel.wait()
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "steering.html"
        panel.save_html(path)
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        times = moved(browser, path, list(panel.sweeps[FEATURE].strengths))
        browser.close()
    print(f"{len(times['text'])} moves to another text of {TOKENS} tokens")
    for what, values in times.items():
        print(f"  {what:6s}{spread(values)}, at most {max(values):.1f}")


if __name__ == "__main__":
    main()
