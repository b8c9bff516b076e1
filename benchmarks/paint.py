"""The heatmap in a real Chromium: open a saved page, redraw it, recolour it by another feature.

Opening is from navigation to the last token painted, reading and unpacking the file included. A redraw (whitespace
marks on or off, which rewrites every token) and a recolour (a click on a feature) are timed from the click to the next
painted frame; what lies outside the window may be finished after it.

Run with ``make bench`` or ``python benchmarks/paint.py``.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import versions

import saewidgets as sw

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update")
ROUNDS = 7
OPENED = """(count) => new Promise(done => {
  const seen = () => document.querySelectorAll(".saew-t").length === count
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)) : requestAnimationFrame(seen);
  seen();
})"""
CLICKED = """async ([selector, nth]) => {
  const target = document.querySelectorAll(selector)[nth];
  const start = performance.now();
  target.click();
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - start;
}"""


def long_acts(n: int, k: int = 32, d_sae: int = 16_384) -> sw.TokenActs:
    """Words in paragraphs of about 200 tokens, with ``k`` features each, the strongest from a common few."""
    rng = np.random.default_rng(0)
    words = np.array([" the", " bridge", " of", " San", " Francisco", " light", " and", " water", " city", "."])
    tokens = rng.choice(words, n)
    tokens[199::200] = "\n"
    indices = np.argsort(rng.random((n, 256)), axis=1)[:, :k].astype(np.int32) * (d_sae // 256)
    values = -np.sort(-rng.gamma(2.0, 2.0, (n, k)).astype(np.float32), axis=1)
    strings = tuple(map(str, tokens))
    position = np.arange(n, dtype=np.int32)
    zeros = np.zeros(n, np.int32)
    return sw.TokenActs(("".join(strings),), strings, zeros, position, values, indices, zeros.astype(bool), d_sae)


def measure(browser: Any, n: int, folder: Path) -> dict[str, list[float]]:
    """Milliseconds of opening (three fresh pages), redraws and recolours."""
    path = folder / f"{n}.html"
    sw.TokenHeatmap(long_acts(n)).save_html(path)
    times: dict[str, list[float]] = {"open": [], "redraw": [], "recolour": []}
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri(), wait_until="commit")
        times["open"].append(page.evaluate(OPENED, n))
        for nth in range(ROUNDS):
            times["redraw"].append(page.evaluate(CLICKED, ['[aria-label="Show whitespace"]', 0]))
            page.wait_for_timeout(150)
            times["recolour"].append(page.evaluate(CLICKED, [".saew-row", nth]))
            page.wait_for_timeout(150)
        page.close()
    return times


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        print(versions("saewidgets", "anywidget"), f"Chromium {browser.version}", sep=", ")
        for n in (1_000, 10_000, 50_000):
            found = measure(browser, n, Path(folder))
            line = "   ".join(
                f"{what} {statistics.median(ms):6.0f} ms (to {max(ms):.0f})" for what, ms in found.items()
            )
            print(f"{n:6d} tokens: {line}")
        browser.close()


if __name__ == "__main__":
    main()
