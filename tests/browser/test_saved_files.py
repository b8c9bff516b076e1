"""Saved pages opened from their file: interactive, silent, asking for nothing (the fixture checks the latter two)."""

from __future__ import annotations

import pytest
from synthetic import HOSTILE, long_acts, make_acts, report  # pyright: ignore[reportMissingImports]

from saewidgets.widgets import TokenHeatmap, TrustPanel

pytestmark = pytest.mark.slow
CLEAR = "rgba(0, 0, 0, 0)"


def colours(page) -> list[str]:
    return page.locator(".saew-t").evaluate_all("els => els.map(el => getComputedStyle(el).backgroundColor)")


@pytest.fixture
def page(saved, tmp_path):
    def open_widget(widget, **options):
        widget.save_html(tmp_path / "page.html")
        page = saved(tmp_path / "page.html", **options)
        page.locator(".saew-heatmap[data-ready]").wait_for()
        return page

    return open_widget


def test_everything_but_editing_works(page):
    acts = make_acts()
    opened = page(TokenHeatmap(acts, compute=lambda text, stop: acts, badge=report()))
    before = colours(opened)
    opened.locator(".saew-t", has_text="Bridge").first.hover()
    assert "position 4" in opened.locator(".saew-tip").inner_text()
    opened.locator(".saew-t", has_text="Orange").first.click()
    opened.locator(".saew-row", has_text="colours").click()
    assert [c != CLEAR for c in colours(opened)] == [bool(v > 0) for v in acts.feature_acts(108)]
    by_text = colours(opened)
    opened.get_by_role("button", name="Feature max").click()
    assert colours(opened) != by_text
    opened.get_by_role("button", name="Show whitespace").click()
    assert opened.locator(".saew-space").count() > 50
    opened.get_by_role("button", name="Text max").click()
    opened.get_by_role("button", name="Strongest feature").click()
    assert colours(opened) == before
    opened.locator(".saew-badge").click()
    assert "Variance explained" in opened.locator(".saew-trust-box").inner_text()
    assert not opened.get_by_role("button", name="Edit text").is_visible()
    assert "SmolLM2-135M-Instruct" in opened.locator("footer").last.inner_text()


def test_keys_work(page):
    opened = page(TokenHeatmap(make_acts()))
    opened.locator(".saew-t[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowRight", "Enter", "Enter"):
        opened.keyboard.press(key)
    assert opened.locator("h3").inner_text().startswith("Golden Gate Bridge")


def test_the_dark_scheme_of_the_system_is_followed(page):
    opened = page(TokenHeatmap(make_acts()), color_scheme="dark")
    surface = opened.locator(".saew").evaluate("el => getComputedStyle(el).backgroundColor")
    assert surface == "rgb(20, 23, 27)"


def test_hostile_tokens_are_only_text(page):
    opened = page(TokenHeatmap(make_acts(tokens=HOSTILE)))
    assert opened.evaluate("() => window.hacked") is None
    assert opened.locator(".saew-t").count() == len(HOSTILE) + 1


def test_50_000_tokens_recolour_without_a_kernel(page):
    acts = long_acts(50_000)
    opened = page(TokenHeatmap(acts))
    opened.locator(".saew-row").nth(3).click()
    feature = int(opened.locator("h3").inner_text().split()[1])
    painted = opened.locator(".saew-t").evaluate_all("els => els.map(el => el.style.backgroundColor !== '')")
    assert painted == [bool(v > 0) for v in acts.feature_acts(feature)]


def test_a_view_that_ends_leaves_no_listener_behind(page):
    opened = page(TokenHeatmap(make_acts()))
    left = opened.evaluate(
        """() => {
          const signals = [];
          let watched = 0;
          const add = document.addEventListener;
          document.addEventListener = function (type, fn, options) {
            signals.push(options?.signal);
            return add.call(this, type, fn, options);
          };
          const traits = { badge: { status: "green", findings: [] } };
          const model = { get: (name) => traits[name], on: () => watched++, off: () => watched--, send() {} };
          const el = document.createElement("div");
          document.body.append(el);
          const stop = widget.render({ model, el });
          const during = [watched > 5, signals.length > 0, el.children.length];
          stop();
          document.addEventListener = add;
          return [during, watched, signals.every((signal) => signal?.aborted), el.children.length];
        }"""
    )
    assert left == [[True, True, 1], 0, True, 0]


def test_a_trust_panel(saved, tmp_path):
    TrustPanel(report("amber")).save_html(tmp_path / "trust.html")
    opened = saved(tmp_path / "trust.html")
    assert "may not fit" in opened.locator("h3").inner_text()
    assert opened.locator("tbody tr").count() == 5
