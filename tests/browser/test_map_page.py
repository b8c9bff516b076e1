"""The map in a real browser: saved pages by both painters, and live in JupyterLab."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from map_fakes import make_space  # pyright: ignore[reportMissingImports]

from saewidgets.records import FeatureSpace
from saewidgets.widgets.map import FeatureMap

pytestmark = pytest.mark.slow
MARGIN = 26
NO_WEBGL = """
const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : getContext.call(this, kind, ...rest);
};"""
NO_NAMES = """
CanvasRenderingContext2D.prototype.strokeText = () => {};
CanvasRenderingContext2D.prototype.fillText = () => {};"""
RECORD_NAMES = """
window.written = [];
const clear = CanvasRenderingContext2D.prototype.clearRect;
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.clearRect = function (...box) {
  if (this.canvas.className === "saew-overlay") window.written = [];
  return clear.apply(this, box);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
  const height = parseFloat(this.font.match(/([\\d.]+)px/)[1]);
  const right = x + this.measureText(text).width;
  window.written.push({ text, left: x, right, top: y - height / 2, bottom: y + height / 2 });
  return fill.call(this, text, x, y, ...rest);
};"""
PIXELS = """async (data) => {
  const image = new Image();
  image.src = data;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const { data: values } = pen.getImageData(0, 0, image.width, image.height);
  let text = "";
  for (let i = 0; i < values.length; i += 30000) text += String.fromCharCode(...values.subarray(i, i + 30000));
  return [image.width, image.height, btoa(text)];
}"""


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return make_space(240, k=25)


@pytest.fixture
def opened(browser: Any, tmp_path: Path):
    """Opens a widget's page, with scripts run before it; whatever it complains about fails the test."""
    contexts, problems = [], []

    def complain(message: Any) -> None:
        if message.type in ("error", "warning") and "GL Driver Message" not in message.text:
            problems.append(message.text)

    def open_page(widget: FeatureMap, *scripts: str, **options: Any) -> Any:
        widget.save_html(tmp_path / "map.html")
        context = browser.new_context(**{"viewport": {"width": 1180, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        for script in scripts:
            page.add_init_script(script)
        page.on("console", complain)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((tmp_path / "map.html").as_uri(), timeout=120_000)
        page.locator(".saew-map[data-ready]").wait_for(timeout=120_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def places(page: Any, space: FeatureSpace) -> np.ndarray:
    """Where on the page every feature is while the whole map is shown."""
    box = page.locator(".saew-plane").bounding_box()
    low, high = space.xy.min(axis=0), space.xy.max(axis=0)
    room = np.array([box["width"], box["height"]]) - 2 * MARGIN
    scale = (room / (high - low)).min()
    off = (space.xy - (low + high) / 2) * scale * [1, -1]
    return off + np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def lonely(page: Any, space: FeatureSpace, apart: float = 16) -> list[int]:
    """Features with no other near them on the screen, and no button over them."""
    at = places(page, space)
    gaps = np.linalg.norm(at[:, None] - at[None], axis=2) + 1e9 * np.eye(len(at))
    free = page.evaluate(
        "points => points.map(([x, y]) => document.elementFromPoint(x, y)?.className === 'saew-overlay')", at.tolist()
    )
    return [i for i in range(len(at)) if gaps[i].min() > apart and free[i]]


def rows(page: Any) -> list[int]:
    """Feature numbers of the list beside the map."""
    return page.locator(".saew-row").evaluate_all("rows => rows.map(row => row.feature)")


def click(page: Any, space: FeatureSpace, feature: int) -> None:
    page.mouse.click(*places(page, space)[feature])


def picture(page: Any) -> np.ndarray:
    """The exported PNG, uint8 ``[height, width, 4]``."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the map as a PNG").click()
    data = base64.b64encode(Path(download.value.path()).read_bytes()).decode()
    width, height, values = page.evaluate(PIXELS, f"data:image/png;base64,{data}")
    return np.frombuffer(base64.b64decode(values), np.uint8).reshape(height, width, 4)


def false_neighbors(space: FeatureSpace, feature: int, k: int) -> list[int]:
    """Beside a feature on the map, and not among its 20 truly nearest."""
    off = ((space.xy.astype(np.float64) - space.xy[feature]) ** 2).sum(axis=1)
    off[feature] = np.inf
    truly = set(space.tables["decoder"].indices[feature, :20].tolist())
    return [i for i in np.argsort(off, kind="stable")[:k].tolist() if i not in truly]


# Painting --------------------------------------------------------------------------------------------------------


def test_both_painters_paint_every_point_where_it_lies(opened, space):
    pictures = []
    for scripts, painter in ((), "webgl"), ((NO_WEBGL,), "canvas"):
        page = opened(FeatureMap(space), NO_NAMES, *scripts)
        assert page.locator(".saew-map").get_attribute("data-painter") == painter
        pixels = picture(page)
        pictures.append(pixels)
        box = page.locator(".saew-plane").bounding_box()
        at = np.round(places(page, space) - [box["x"], box["y"]]).astype(int)
        colours = pixels[at[:, 1], at[:, 0], :3].astype(int)
        grey = space.cluster < 0
        spread = colours.max(axis=1) - colours.min(axis=1)
        assert (colours.min(axis=1) < 250).all()
        assert np.median(spread[grey]) < 25 < np.median(spread[~grey])
    same = np.abs(pictures[0].astype(int) - pictures[1].astype(int)).max(axis=2) < 60
    assert same.mean() > 0.985


def test_a_lost_context_falls_back_to_the_other_painter(opened, space):
    page = opened(FeatureMap(space))
    page.evaluate(
        "document.querySelector('.saew-points').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    )
    page.locator(".saew-map[data-painter='canvas']").wait_for()
    click(page, space, lonely(page, space)[0])
    assert page.locator(".saew-place").is_visible()


def test_names_do_not_overlap(opened, space):
    page = opened(FeatureMap(space), RECORD_NAMES)
    for _ in range(3):
        page.wait_for_timeout(200)
        written = page.evaluate("window.written")
        assert len(written) >= 3
        for i, a in enumerate(written):
            for b in written[:i]:
                apart = (
                    a["left"] > b["right"] or b["left"] > a["right"] or a["top"] > b["bottom"] or b["top"] > a["bottom"]
                )
                assert apart, (a, b)
        page.get_by_role("button", name="Zoom in").click()


def test_the_page_fits_a_telephone_and_follows_the_dark_scheme(opened, space):
    page = opened(FeatureMap(space), viewport={"width": 480, "height": 900}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 480
    pixels = picture(page)
    assert pixels[2, 2, :3].tolist() == [20, 23, 27]


# Neighbours ------------------------------------------------------------------------------------------------------


def test_a_click_shows_the_true_neighbours_and_flags_the_false(opened, space):
    page = opened(FeatureMap(space))
    feature = next(i for i in lonely(page, space) if false_neighbors(space, i, 10))
    click(page, space, feature)
    table = space.tables["decoder"]
    wrong = false_neighbors(space, feature, 10)
    assert rows(page) == table.indices[feature, :10].tolist() + wrong
    shown = page.locator(".saew-row .saew-num").all_inner_texts()[:10]
    assert [float(text) for text in shown] == pytest.approx(table.distances[feature, :10].tolist(), abs=6e-4)
    assert page.locator(".saew-false").count() == len(wrong)
    details = page.locator(".saew-false .saew-detail").all_inner_texts()
    known = dict(zip(space.planar.indices[feature].tolist(), space.planar.ranks[feature].tolist(), strict=True))
    assert details == [f"true rank {known[i]} of 239" for i in wrong]
    assert f"; {len(wrong)} beside it on the map are not truly near" in page.locator(".saew-status").inner_text()
    page.get_by_role("slider").fill("4")
    assert rows(page) == table.indices[feature, :4].tolist() + false_neighbors(space, feature, 4)
    page.get_by_role("button", name="Select these").click()
    page.get_by_role("button", name="Back").click()
    assert rows(page) == [feature, *table.indices[feature, :4].tolist()]


def test_hovering_names_a_point(opened, space):
    page = opened(FeatureMap(space))
    feature = next(i for i in lonely(page, space) if space.labels[i])
    page.mouse.move(*places(page, space)[feature])
    shown = page.locator(".saew-tip").inner_text()
    assert space.labels[feature] in shown
    assert str(feature) in shown
    assert f"‘{space.top_tokens[feature].strip()}’" in shown
    page.mouse.move(5, 5)
    assert not page.locator(".saew-tip").is_visible()


def test_the_keyboard_walks_from_neighbour_to_neighbour(opened, space):
    widget = FeatureMap(space)
    widget.feature = start = 50
    page = opened(widget)
    plane = page.locator(".saew-plane")
    status = page.locator(".saew-status")
    near = space.tables["decoder"].indices[start, :10]
    ways = space.xy[near] - space.xy[start]
    right = [int(i) for i, (dx, dy) in zip(near, ways, strict=True) if dx / np.hypot(dx, dy) > 0.7]
    plane.press("ArrowRight")
    if right:
        assert (
            page.locator(".saew-place-name")
            .inner_text()
            .split("\n")[0]
            .startswith(space.labels[right[0]] or f"Feature {right[0]}")
        )
        plane.press("Backspace")
    else:
        assert status.inner_text() == "No true neighbour lies that way."
    plane.press("n")
    plane.press("n")
    assert status.inner_text().startswith("Neighbour 2 of 10")
    plane.press("Enter")
    assert rows(page)[:10] == space.tables["decoder"].indices[near[1], :10].tolist()
    plane.press("Backspace")
    assert rows(page)[:10] == near.tolist()
    plane.press("Escape")
    assert not page.locator(".saew-place").is_visible()
    plane.press("?")
    assert "Arrow keys walk" in status.inner_text()


# Search, selection, colours --------------------------------------------------------------------------------------


def test_search_finds_labels_numbers_tokens_and_clusters(opened, space):
    label = {"labels": tuple("Alcatraz" if i == 33 else "dull" for i in range(240))}
    token = {"top_tokens": tuple(" Presidio" if i == 44 else " x" for i in range(240))}
    named = {"cluster_names": ("Harbours", *(f"c{i}" for i in range(1, len(space.cluster_names))))}
    page = opened(FeatureMap(dataclasses.replace(space, **label, **token, **named)))
    field = page.locator(".saew-search-field")

    def search(query: str) -> list[int]:
        field.fill(query)
        page.locator(".saew-list-head", has_text=f"“{query}”").wait_for()
        return rows(page)

    assert search("alca") == [33]
    assert search("presidio") == [44]
    assert search("17") == [17]
    assert search("harbour") == np.flatnonzero(space.cluster == 0).tolist()
    assert search("nothing") == []
    assert "No feature matches" in page.locator(".saew-rows").inner_text()
    search("alca")
    field.press("Enter")
    assert page.locator(".saew-place-name").inner_text().startswith("Alcatraz")
    page.get_by_role("button", name="Back").click()
    assert rows(page) == [33]
    field.press("Escape")
    assert page.locator(".saew-list-head").inner_text() == "Largest clusters"


def test_box_and_lasso_select_what_they_enclose(opened, space):
    page = opened(FeatureMap(space))
    at = places(page, space)
    box = page.locator(".saew-plane").bounding_box()
    low = np.array([box["x"] + 220, box["y"] + 140])
    high = low + np.array([260, 240])
    page.keyboard.down("Shift")
    drag(page, [low, (low + high) / 2, high])
    page.keyboard.up("Shift")
    assert rows(page) == np.flatnonzero(((at > low) & (at < high)).all(axis=1)).tolist()
    page.get_by_role("button", name="lasso").click()
    corners = np.array([low, [high[0], low[1]], [low[0], high[1]]])
    edge = [corners[i] + (corners[(i + 1) % 3] - corners[i]) * t for i in range(3) for t in np.linspace(0, 1, 12)]
    drag(page, edge)
    part = (at - low) / (high - low)
    inside = (part > 0.01).all(axis=1) & (part.sum(axis=1) < 0.99)
    outside = (part < -0.01).any(axis=1) | (part.sum(axis=1) > 1.01)
    found = set(rows(page))
    assert set(np.flatnonzero(inside).tolist()) <= found
    assert not found & set(np.flatnonzero(outside).tolist())


def drag(page: Any, path: Any) -> None:
    page.mouse.move(*path[0])
    page.mouse.down()
    for point in path[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def test_a_cluster_in_the_list_is_visited(opened, space):
    page = opened(FeatureMap(space))
    sizes = np.bincount(space.cluster[space.cluster >= 0])
    largest = int(np.argmax(sizes))
    row = page.locator(".saew-row").first
    assert row.inner_text().split("\n") == [space.cluster_names[largest], str(sizes[largest])]
    row.click()
    assert rows(page) == np.flatnonzero(space.cluster == largest).tolist()


def test_colours_say_what_the_legend_says(opened, space):
    page = opened(FeatureMap(space))
    legend = page.locator(".saew-map-legend")
    select = page.get_by_label("What the colours show")
    assert legend.inner_text().startswith(f"Cluster\n{len(set(space.cluster.tolist()) - {-1})} clusters")
    before = picture(page)
    select.select_option("trust")
    low = np.sort(space.trust)[int(240 * 0.01)]
    assert legend.inner_text().split() == ["Trust", "in", "the", "map", f"{low:.3g}", "1"]
    assert np.abs(picture(page).astype(int) - before).max() > 60
    assert select.locator("option[value=activation]").is_disabled()
    select.select_option("density")
    assert legend.inner_text().startswith("Density\n1 in ")


def test_a_lit_page_keeps_its_light(opened, space):
    widget = FeatureMap(space, light=lambda text, stop: {3: 2.0, 90: 5.0, 7: 1.0})
    widget.text = "The bridge"
    while widget._lighting.busy:
        pass
    page = opened(widget)
    assert rows(page) == [90, 3, 7]
    assert page.locator(".saew-row .saew-num").all_inner_texts() == ["5", "2", "1"]
    field = page.get_by_label("Sentence that lights up the map")
    assert field.input_value() == "The bridge"
    assert not field.is_editable()


def test_hostile_names_are_only_text(opened, space):
    bad = "<img src=x onerror='window.hacked=1'></script><script>window.hacked=1</script>"
    page = opened(
        FeatureMap(dataclasses.replace(space, labels=(bad,) * 240, cluster_names=(bad,) * len(space.cluster_names)))
    )
    click(page, space, lonely(page, space)[0])
    assert bad in page.locator(".saew-place-name").inner_text()
    assert page.evaluate("window.hacked") is None


def test_a_view_that_ends_leaves_nothing_behind(opened, space):
    page = opened(FeatureMap(space))
    left = page.evaluate(
        """async () => {
          const signals = [];
          const watchers = { on: 0, off: 0 };
          const add = document.addEventListener;
          document.addEventListener = function (type, fn, options) {
            signals.push(options?.signal);
            return add.call(this, type, fn, options);
          };
          const saved = JSON.parse(document.getElementById("data").textContent);
          const bytes = Uint8Array.from(atob(saved.blob), (c) => c.charCodeAt(0));
          const traits = saved.state;
          const piece = { type: "acts", acts: 1, part: 0, parts: 1 };
          let receive = null;
          const model = {
            get: (name) => traits[name], set() {}, save_changes() {},
            on: (event, fn) => { watchers.on++; if (event === "msg:custom") receive = fn; },
            off: () => watchers.off++,
            send: () => queueMicrotask(() => receive(piece, [new DataView(bytes.buffer)])),
          };
          const el = document.createElement("div");
          document.body.append(el);
          const stop = widget.render({ model, el });
          await new Promise((done) => setTimeout(done, 300));
          const canvas = el.querySelector(".saew-points");
          const gl = canvas.getContext("webgl2");
          const during = [watchers.on > 5, signals.length > 0, gl.isContextLost()];
          stop();
          document.addEventListener = add;
          const ended = signals.every((signal) => signal?.aborted);
          return [during, watchers.on - watchers.off, ended, el.children.length, gl.isContextLost()];
        }"""
    )
    assert left == [[True, True, False], 0, True, 0, True]
