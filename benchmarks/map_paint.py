"""The map in a real Chromium against plotly's WebGL scatter: open, move, click for neighbours.

Both are saved pages of the same points and neighbour table. Opening is from navigation to the points painted, reading
the file included. A move is one wheel step, a click is on a point; both are timed to the next painted frame. Plotly's
click draws the same lines from the same table, without the list our map writes beside them.

Run with ``make bench`` or ``python benchmarks/map_paint.py [number of features …]``.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import versions

from saewidgets.records import FeatureSpace, NeighborTable
from saewidgets.widgets.map import FeatureMap

FLAGS = ("--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync", "--disable-gpu")
FLAGS += ("--disable-background-networking", "--disable-component-update")
ROUNDS, K = 7, 10
READY = {"ours": ".saew-map[data-ready]", "plotly": "[data-drawn]"}
PLANE = {"ours": ".saew-plane", "plotly": ".nsewdrag"}
PAINTED = """(selector) => new Promise(done => {
  const seen = () => document.querySelector(selector)
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)) : requestAnimationFrame(seen);
  seen();
})"""
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))"
WHEEL = f"""async (selector) => {{
  const plane = document.querySelector(selector), box = plane.getBoundingClientRect();
  const at = {{ clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, deltaY: -40 }};
  const start = performance.now();
  plane.dispatchEvent(new WheelEvent("wheel", {{ ...at, bubbles: true, cancelable: true, composed: true }}));
  await {FRAME};
  return performance.now() - start;
}}"""
CLICK_ARMED = """(selector) => { window.clicked = new Promise(done => document.addEventListener("pointerup", () => {
  const start = performance.now();
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start), 0)));
}, { once: true, capture: true })); }"""
PLOTLY_CLICK = """
const table = TABLE, plot = document.getElementById("{plot_id}"), all = plot.data[1];
document.body.dataset.drawn = "";
plot.on("plotly_click", (event) => {
  const own = event.points.find((point) => point.curveNumber === 1)?.pointNumber;
  if (own === undefined) return;
  const near = table[own] || table[0];
  const path = (values) => near.flatMap((i) => [values[own], values[i], null]);
  Plotly.restyle(plot, { x: [path(all.x)], y: [path(all.y)] }, [0]);
});"""


def synthetic(n: int, seed: int = 0) -> FeatureSpace:
    """Islands of points; the table holds neighbours in the plane, as only its size matters here."""
    rng = np.random.default_rng(seed)
    groups = max(8, n // 60)
    cluster = rng.integers(0, groups, n).astype(np.int32)
    xy = (rng.normal(size=(groups, 2)) * 6)[cluster] + 0.15 * rng.normal(size=(n, 2))
    order = np.lexsort((xy[:, 0], cluster))
    shifts = np.stack([np.roll(order, -s) for s in range(1, 21)], axis=1)
    table = np.empty((n, 20), np.int32)
    table[order] = shifts
    away = np.broadcast_to(np.linspace(0.1, 0.6, 20, dtype=np.float32), table.shape)
    labels = tuple(f"feature about topic {i % 977}" for i in range(n))
    names = tuple(f"topic {i}" for i in range(groups))
    return FeatureSpace(xy.astype(np.float32), cluster, names, {"decoder": NeighborTable(table, away)}, labels=labels)


def save_plotly(space: FeatureSpace, path: Path) -> None:
    """Plotly's page of the same points: a line trace for neighbours, a WebGL scatter."""
    figure = FeatureMap(space).to_plotly()
    points = figure.data[0]
    lines = type(points)(mode="lines", x=[], y=[])
    figure.data = ()
    figure.add_traces([lines, points])
    figure.update_layout(width=850, height=640, dragmode="pan")
    table = json.dumps(space.tables["decoder"].indices[:, :K].tolist(), separators=(",", ":"))
    script = PLOTLY_CLICK.replace("TABLE", table)
    figure.write_html(path, include_plotlyjs=True, post_script=script, config={"scrollZoom": True})


def measure(browser: Any, kind: str, path: Path) -> dict[str, list[float]]:
    """Milliseconds of opening (three fresh pages), wheel steps and clicks."""
    times: dict[str, list[float]] = {"open": [], "move": [], "click": []}
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(300_000)
        page.goto(path.as_uri(), wait_until="commit")
        times["open"].append(page.evaluate(PAINTED, READY[kind]))
        for _ in range(ROUNDS):
            times["move"].append(page.evaluate(WHEEL, PLANE[kind]))
            page.wait_for_timeout(250)
        box = page.locator(PLANE[kind]).first.bounding_box()
        for nth in range(ROUNDS):
            page.mouse.move(box["x"] + box["width"] * (0.35 + 0.04 * nth), box["y"] + box["height"] * 0.5)
            page.wait_for_timeout(250)
            page.evaluate(CLICK_ARMED)
            page.mouse.down()
            page.mouse.up()
            times["click"].append(page.evaluate("window.clicked"))
            page.wait_for_timeout(250)
        page.close()
    return times


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    sizes = [int(given) for given in sys.argv[1:]] or [16_384, 147_456]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        print(versions("saewidgets", "anywidget", "plotly"), f"Chromium {browser.version}", sep=", ")
        for n in sizes:
            space = synthetic(n)
            paths = {kind: Path(folder) / f"{kind}-{n}.html" for kind in READY}
            FeatureMap(space).save_html(paths["ours"])
            save_plotly(space, paths["plotly"])
            found = {kind: measure(browser, kind, path) for kind, path in paths.items()}
            for kind, times in found.items():
                line = "   ".join(
                    f"{what} {statistics.median(ms):6.0f} ms (to {max(ms):.0f})" for what, ms in times.items()
                )
                print(f"{n:7d} {kind:7s} {line}   page {paths[kind].stat().st_size / 1e6:.1f} MB")
            ratios = {
                what: statistics.median(found["plotly"][what]) / statistics.median(found["ours"][what])
                for what in found["ours"]
            }
            print(f"{n:7d} ratio   " + "   ".join(f"{what} {ratio:.1f}×" for what, ratio in ratios.items()))
        browser.close()


if __name__ == "__main__":
    main()
