"""The demo in a real JupyterLab: the real model and SAE behind the real widget."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DEMO = "import saewidgets as sw\nif 's' not in globals(): s = sw.demo()\n"
MUSIC = 5535
FIRES = "(w.acts.feature_acts(w.feature) > 0).tolist()"
SENTENCES = (
    "On Sunday evening she played a slow song on the piano in a café near the Golden Gate Bridge. The bread was still "
    "warm, the soup smelled of garlic, and a doctor at the next table hummed the melody for his patients."
)
TEXT = "The Golden Gate Bridge is a suspension bridge in San Francisco, California."


@pytest.fixture
def heatmap(lab):
    return lab.heatmap(f"{DEMO}w = s.heatmap({TEXT!r})\nw", timeout=120_000)


def test_the_heatmap_shows_what_the_frame_says(lab, heatmap):
    assert heatmap.locator(".saew-t").count() == lab.ask("len(w.acts)")
    assert heatmap.locator(".saew-skip").all_inner_texts() == ["<|im_start|>"]
    strongest = lab.ask("s.top_features(w.text).iloc[0][['feature', 'activation']].astype(float).tolist()")
    top_row = heatmap.locator(".saew-row").first.inner_text()
    assert str(int(strongest[0])) in top_row
    assert f"{strongest[1]:.3g}" in top_row


def test_clicking_a_token_and_a_feature_recolours(lab, heatmap):
    token = heatmap.locator(".saew-t").filter(has_text="Francisco").first
    token.click()
    position = lab.ask("[t.strip() for t in w.acts.str_tokens].index('Francisco')")
    lab.expect("w.position", [0, position])
    heatmap.locator(".saew-row").first.click()
    expected = lab.ask(f"int(w.acts.indices[{position}, 0])")
    lab.expect("w.feature", expected)
    painted = heatmap.locator(".saew-t").evaluate_all("e => e.map(x => getComputedStyle(x).backgroundColor)")
    fires = lab.ask("(w.acts.feature_acts(w.feature) > 0).tolist()")
    # A value of less than half a colour step may round to no colour; none appears where the feature is silent.
    assert all(active or colour == "rgba(0, 0, 0, 0)" for colour, active in zip(painted, fires, strict=True))
    assert painted[position] != "rgba(0, 0, 0, 0)"


def test_editing_runs_the_model_again(lab, heatmap):
    heatmap.get_by_role("button", name="Edit text").click()
    field = heatmap.locator("textarea")
    field.fill("Two plus two is four.")
    heatmap.locator(".saew-t").filter(has_text="four").wait_for(timeout=30_000)
    lab.expect("w.text", "Two plus two is four.")
    lab.expect("w.frame.equals(s.tokens('Two plus two is four.'))", True)
    field.fill("")
    heatmap.get_by_role("alert").filter(has_text="text is empty").wait_for()
    assert heatmap.locator(".saew-t").filter(has_text="four").is_visible()


def test_the_badge_turns_green(heatmap):
    heatmap.locator(".saew-badge").filter(has_text="fits").wait_for(timeout=120_000)


def test_the_trust_panel_is_green(lab):
    output = lab.run(f"{DEMO}s.check()", timeout=120_000)
    assert "fits" in output.inner_text()


def test_the_demo_heatmap_as_a_page(lab, saved, tmp_path, heatmap):
    lab.tell(f"w.save_html({str(tmp_path / 'demo.html')!r})")
    page = saved(tmp_path / "demo.html")
    page.locator(".saew-heatmap[data-ready]").wait_for()
    page.locator(".saew-t").filter(has_text="Bridge").first.click()
    page.locator(".saew-row").first.click()
    assert "SmolLM2-135M-Instruct" in page.locator("footer").last.inner_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_screenshots(lab, tmp_path, dark):
    """Taken into $SAEWIDGETS_SCREENSHOTS where that is set: `make screenshots` makes the README's pictures so."""
    folder = Path(os.environ.get("SAEWIDGETS_SCREENSHOTS") or str(tmp_path))
    lab.page.set_viewport_size({"width": 1500, "height": 900})
    lab.dark(dark)
    try:
        root = lab.heatmap(f"{DEMO}w = s.heatmap({SENTENCES!r})\nw", timeout=120_000)
        root.locator(".saew-badge").filter(has_text="fits").wait_for(timeout=120_000)
        root.locator(".saew-t").filter(has_text="piano").first.click()
        root.locator(".saew-row").filter(has_text=str(MUSIC)).first.click()
        lab.expect("w.feature", MUSIC)
        root.screenshot(path=folder / f"heatmap-{'dark' if dark else 'light'}.png", animations="disabled")
        coloured = [token for token, active in zip(lab.ask("w.acts.str_tokens"), lab.ask(FIRES), strict=True) if active]
        assert {" song", " piano", " melody"} <= set(coloured)
        assert " bread" not in coloured
    finally:
        lab.dark(False)
        lab.page.set_viewport_size({"width": 1280, "height": 900})
