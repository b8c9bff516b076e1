"""The feature card in a real Chromium: from one card to the next.

A saved page of twenty cards (20 strongest examples and four of each interval, 128 tokens each) is walked through with
the Next button, timed from the click to the next painted frame.

Run with ``python benchmarks/card_paint.py``; the goal is under 100 ms a card.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import spread, versions
from paint import CLICKED, FLAGS

import saewidgets as sw
from saewidgets.records import INTERVALS, Example, FeatureCardData, FeatureList, FeatureStats, Related, TokenWeight

CARDS = 20
TOKENS = 128


def card(feature: int) -> FeatureCardData:
    """A full card of words drawn at random."""
    rng = np.random.default_rng(feature)
    words = np.array([" the", " bridge", " of", " San", " Francisco", " light", " and", " water", " city", "."])

    def example(interval: int) -> Example:
        values = np.where(rng.random(TOKENS) < 0.1, rng.random(TOKENS), 0).astype(np.float32) * 10
        return Example(
            rng.choice(words, TOKENS).tolist(), values, int(values.argmax()), interval, source="random words"
        )

    edges = np.geomspace(0.01, 10, 65)
    stats = FeatureStats(feature, 6_400, 2_000_000, 10.0, 2.0, np.full(64, 100), edges, f"label {feature}", 0.8, "you")
    others = [Related(i, 1 / (i + 1), f"label {i}") for i in range(10)]
    weights = [TokenWeight(str(word), 1.0) for word in words]
    intervals = [example(1 + i % INTERVALS) for i in range(4 * INTERVALS)]
    top = [example(0) for _ in range(20)]
    return FeatureCardData(stats, top, intervals, weights, weights, coactive=others, neighbors=others)


def walk(browser: Any, path: Path) -> list[float]:
    """Milliseconds from every card to the next."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    page.locator(".saew-card[data-ready]").wait_for()
    times = []
    for feature in range(1, CARDS):
        times.append(page.evaluate(CLICKED, ['[aria-label="Next"]', 0]))
        page.locator(f".saew-card[data-ready='{feature}']").wait_for()
        page.wait_for_timeout(150)
    return times


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    features = np.full(CARDS, 0.003)
    everything = FeatureList(features, np.full(CARDS, 10, np.float32), [f"label {i}" for i in range(CARDS)], features)
    print(versions("saewidgets", "anywidget", "playwright"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "cards.html"
        widget = sw.FeatureCard(card(0), everything, load=lambda feature, stop: card(feature))
        widget.save_html(path, features=range(CARDS))
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        print(f"{CARDS} cards, {path.stat().st_size / 1e6:.1f} MB saved")
        print(f"one card to the next  {spread(walk(browser, path))}")
        browser.close()


if __name__ == "__main__":
    main()
