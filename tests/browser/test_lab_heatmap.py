"""The heatmap in a real JupyterLab."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.slow

SETUP = """
import time
from synthetic import *
from saewidgets.widgets import TokenHeatmap, TrustPanel, badge_of
calls = []
def compute(text, stop):
    calls.append(text)
    if stop.wait(0.15):
        raise RuntimeError("stopped")
    if not text.strip():
        raise ValueError("the text is empty: type something")
    return make_acts(text)
"""
ORANGE = "el => getComputedStyle(el).backgroundColor"
CLEAR = "rgba(0, 0, 0, 0)"


@pytest.fixture
def heatmap(lab):
    """Shows a heatmap made by an expression, by default of a paragraph of English that can be edited."""

    def show(expression: str = "TokenHeatmap(make_acts(), compute=compute, badge=report('green'))"):
        return lab.heatmap(f"{SETUP}\nw = {expression}\nw")

    return show


def token(root, text: str, nth: int = 0):
    return root.locator(".saew-t").filter(has_text=text).nth(nth)


def row(root, text: str):
    return root.locator(".saew-row").filter(has_text=text).first


def colours(root) -> list[str]:
    return root.locator(".saew-t").evaluate_all("els => els.map(el => getComputedStyle(el).backgroundColor)")


def frames(lab, word: str) -> int:
    """Websocket frames sent that mention a word."""
    return sum(word in (frame if isinstance(frame, str) else frame.decode("latin-1")) for frame in lab.sent)


# Painting ------------------------------------------------------------------------------------------------------


def test_it_paints_what_the_acts_say(lab, heatmap):
    root = heatmap()
    assert root.locator(".saew-t").count() == lab.ask("len(w.acts)")
    painted = colours(root)
    strongest = lab.ask("w.acts.values[:, 0].tolist()")
    assert painted[0] == CLEAR, "the skipped start token takes no part in the scale"
    assert [c != CLEAR for c in painted[1:]] == [value > 0 for value in strongest[1:]]
    assert (
        root.locator(".saew-legend").get_attribute("aria-label")
        == f"Colour scale from 0 to {max(strongest[1:]):.3g}, activation × ‖decoder‖"
    )
    assert root.locator(".saew-skip").count() == 1


def test_the_text_reads_as_written(lab, heatmap):
    root = heatmap()
    text = root.locator(".saew-text").inner_text().replace("⏎", "")
    assert " ".join(text.split()) == " ".join(("<|endoftext|>" + lab.ask("w.text")).split())
    paragraphs = root.locator(".saew-p")
    assert paragraphs.count() == 3


def test_an_empty_text_says_so(heatmap):
    root = heatmap("TokenHeatmap(make_acts(tokens=[], bos=False))")
    assert "No tokens" in root.locator(".saew-text").inner_text()


def test_several_texts_stand_apart(heatmap):
    root = heatmap("TokenHeatmap(make_acts('The bridge.', 'Fog in May.'))")
    assert root.locator("hr").count() == 1
    assert not root.get_by_role("button", name="Edit text").is_visible()


def test_without_compute_nothing_can_be_edited(heatmap):
    root = heatmap("TokenHeatmap(make_acts())")
    assert not root.get_by_role("button", name="Edit text").is_visible()
    token(root, "Bridge").dblclick()
    assert not root.locator("textarea").is_visible()


# Pointing ------------------------------------------------------------------------------------------------------


def test_hover_names_token_position_value_and_feature(lab, heatmap):
    root = heatmap()
    token(root, "Bridge").hover()
    tip = root.locator(".saew-tip")
    value = lab.ask("float(w.acts.values[4, 0])")
    assert tip.is_visible()
    said = tip.inner_text()
    # A drawn middle dot stands for the space; it is not part of the text.
    for part in ("Bridge", "position 4", f"{value:.3g}", "Golden Gate Bridge", "11"):
        assert part in said
    root.locator("h3").hover()
    assert not tip.is_visible()


def test_a_skipped_token_says_why(heatmap):
    root = heatmap()
    token(root, "endoftext").hover()
    assert "attention sink" in root.locator(".saew-tip").inner_text()


def test_click_lists_the_features_strongest_first(lab, heatmap):
    root = heatmap()
    token(root, "Bridge").click()
    back = root.get_by_role("button", name="Whole text")
    back.wait_for()
    expected = lab.ask("[f'{v:.3g}' for v in w.acts.values[4] if v > 0]")
    assert root.locator(".saew-row-line > .saew-num").all_inner_texts() == expected
    lab.expect("w.position", [0, 4])
    back.click()
    lab.expect("w.position", None)
    assert "Strongest in this text" in root.locator(".saew-list-head").inner_text()


def test_a_feature_recolours_while_the_kernel_is_busy_and_asks_it_nothing(lab, heatmap):
    root = heatmap()
    before = colours(root)
    lab.page.evaluate(
        """() => {
          const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
          window.slept = false;
          kernel.requestExecute({ code: "time.sleep(3)" }).done.then(() => (window.slept = true));
        }"""
    )
    lab.page.wait_for_timeout(200)
    asked = frames(lab, '"column"') + frames(lab, '"token"') + frames(lab, '"ready"')
    received = len([f for f in lab.received if b"custom" in (f.encode() if isinstance(f, str) else f)])
    began = time.monotonic()
    token(root, "Orange").click()
    row(root, "colours").click()
    after = colours(root)
    assert time.monotonic() - began < 2, "the page waited for the kernel"
    assert not lab.page.evaluate("() => window.slept")
    assert after != before
    fires = lab.ask("[bool(v > 0) for v in w.acts.feature_acts(108)]")
    assert [colour != CLEAR for colour in after] == fires
    assert frames(lab, '"column"') + frames(lab, '"token"') + frames(lab, '"ready"') == asked
    assert len([f for f in lab.received if b"custom" in (f.encode() if isinstance(f, str) else f)]) == received
    lab.expect("w.feature", 108)


def test_modes_switch_back_and_forth(lab, heatmap):
    root = heatmap()
    strongest = colours(root)
    one, most = root.get_by_role("button", name="One feature"), root.get_by_role("button", name="Strongest feature")
    one.click()
    lab.expect("w.feature", lab.ask("int(w.acts.top_features(1).feature[0])"))
    assert one.get_attribute("aria-pressed") == "true"
    assert colours(root) != strongest
    most.click()
    assert colours(root) == strongest
    lab.expect("w.feature", None)


def test_the_scale_follows_the_features_known_maximum(lab, heatmap):
    root = heatmap("TokenHeatmap(make_acts(), feature=11)")
    by_text = colours(root)
    root.get_by_role("button", name="Feature max").click()
    legend = root.locator(".saew-legend").get_attribute("aria-label")
    assert legend.startswith(f"Colour scale from 0 to {lab.ask('float(w.acts.maximum[11])'):.3g}")
    assert colours(root) != by_text
    lab.expect("w.scale_by", "feature")
    root = heatmap("TokenHeatmap(make_acts(maximum=False))")
    assert root.get_by_role("button", name="Feature max").is_disabled()


# Traits --------------------------------------------------------------------------------------------------------


def test_traits_set_from_python_show(lab, heatmap):
    root = heatmap()
    lab.tell("w.feature = 42")
    root.locator("h3", has_text="places in California").wait_for()
    lab.tell("w.position = [0, 4]")
    root.locator(".saew-chosen", has_text="Bridge").wait_for()
    lab.tell("w.show_whitespace = True")
    root.locator(".saew-space").first.wait_for(state="attached")
    lab.tell("w.position = None; w.feature = None")
    root.locator("h3", has_text="Strongest feature").wait_for()
    assert root.locator(".saew-chosen").count() == 0


def test_text_set_from_python_shows(lab, heatmap):
    root = heatmap()
    lab.tell("w.text = 'Fog over Paris'")
    token(root, "Paris").wait_for()
    assert root.locator(".saew-t").count() == 4


def test_two_views_share_traits_and_nothing_else(lab):
    code = f"{SETUP}\nfrom IPython.display import display\nw = TokenHeatmap(make_acts())\ndisplay(w)\ndisplay(w)"
    lab.heatmap(code)
    first, second = lab.page.locator(".saew-heatmap").nth(0), lab.page.locator(".saew-heatmap").nth(1)
    second.and_(lab.page.locator("[data-ready]")).wait_for()
    row(first, "colours").click()
    assert colours(first) == colours(second)
    token(first, "Bridge").hover()
    assert first.locator(".saew-tip").is_visible()
    assert not second.locator(".saew-tip").is_visible()


def test_the_badge_turns_green_from_a_thread(lab, heatmap):
    root = heatmap("TokenHeatmap(make_acts(), badge=badge_of(None))")
    badge = root.locator(".saew-badge")
    assert badge.inner_text() == "checking…"
    lab.tell("import threading; threading.Thread(target=lambda: setattr(w, 'badge', report('red'))).start()")
    root.locator(".saew-badge", has_text="does not fit").wait_for()
    badge.click()
    box = root.locator(".saew-trust-box")
    assert "one layer off" in box.inner_text()
    lab.page.keyboard.press("Escape")
    assert not box.is_visible()


# Editing -------------------------------------------------------------------------------------------------------


def test_the_text_is_edited_live(lab, heatmap):
    root = heatmap()
    row(root, "Golden Gate Bridge").click()
    root.get_by_role("button", name="Edit text").click()
    field = root.locator("textarea")
    assert field.input_value() == lab.ask("w.text")
    field.fill("")
    root.get_by_role("alert").filter(has_text="the text is empty").wait_for()
    assert token(root, "Francisco").is_visible(), "the old picture stays"
    field.press_sequentially("A bridge in Lisbon at night", delay=15)
    token(root, "Lisbon").wait_for()
    root.locator(".saew-busy:empty").wait_for(state="attached")
    assert not root.locator(".saew-problem").is_visible()
    lab.expect("[w.text, w.feature]", ["A bridge in Lisbon at night", 11])
    assert lab.ask("len(calls)") < 12, "not every keystroke is computed"
    field.press("Escape")
    assert not field.is_visible()
    assert colours(root)[2] != CLEAR


def test_fast_typing_ends_with_the_last_text(lab, heatmap):
    root = heatmap()
    root.get_by_role("button", name="Edit text").click()
    field = root.locator("textarea")
    for i in range(12):
        field.fill(f"bridge number {i}")
        lab.page.wait_for_timeout(160)
    token(root, "11").wait_for()
    root.locator(".saew-busy:empty").wait_for(state="attached")
    lab.expect("w.text", "bridge number 11")


# Keyboard ------------------------------------------------------------------------------------------------------


def test_stepping_with_the_keyboard(lab, heatmap):
    root = heatmap()
    root.locator(".saew-t[tabindex='0']").focus()
    press = lab.page.keyboard.press
    for _ in range(4):
        press("ArrowRight")
    focused = "() => document.activeElement.textContent"
    assert lab.page.evaluate(focused) == " Bridge"
    status = root.locator(".saew-status")
    assert status.inner_text().startswith("·Bridge, position 4,")
    press("Enter")
    assert lab.page.evaluate("() => document.activeElement.className") == "saew-row"
    lab.expect("w.position", [0, 4])
    press("ArrowDown")
    press("Home")
    press("Enter")
    lab.expect("w.feature", 11)
    press("Escape")
    assert lab.page.evaluate(focused) == " Bridge"
    press("ArrowRight")
    lab.expect("w.position", [0, 5])
    press("End")
    assert lab.page.evaluate(focused) == lab.ask("w.acts.str_tokens[-1]")
    press("Home")
    press("ArrowDown")
    assert lab.page.evaluate(focused) not in ("<|endoftext|>", "")
    press("Escape")
    lab.expect("w.position", None)


def test_keys_of_the_notebook_do_not_act_on_the_widget(lab, heatmap):
    root = heatmap()
    root.locator(".saew-t[tabindex='0']").focus()
    for key in ("d", "d", "x", "a", "ArrowDown"):
        lab.page.keyboard.press(key)
    count = lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    assert count == 1
    assert root.is_visible()


def test_a_start_token_does_not_turn_a_right_to_left_text_around(heatmap):
    root = heatmap("TokenHeatmap(make_acts(tokens=['<|im_start|>', 'גשר', ' הזהב', '.'], bos=True))")
    assert root.locator(".saew-p").evaluate("el => getComputedStyle(el).direction") == "rtl"


def test_right_to_left_text_steps_the_way_it_reads(lab, heatmap):
    root = heatmap("TokenHeatmap(make_acts(tokens=['גשר', ' הזהב', ' בערפל', '.'], bos=False))")
    places = root.locator(".saew-t").evaluate_all("els => els.map(el => el.getBoundingClientRect().left)")
    assert places == sorted(places, reverse=True)
    root.locator(".saew-t[tabindex='0']").focus()
    lab.page.keyboard.press("ArrowLeft")
    assert lab.page.evaluate("() => document.activeElement.textContent") == " הזהב"


# Hostile and odd tokens ------------------------------------------------------------------------------------------


def test_hostile_tokens_are_only_text(lab, heatmap):
    root = heatmap("TokenHeatmap(make_acts(tokens=HOSTILE))")
    assert lab.page.evaluate("() => window.hacked") is None
    assert root.locator("script, img").count() == 0
    assert root.locator(".saew-t").count() == lab.ask("len(HOSTILE)") + 1
    text = root.locator(".saew-text").evaluate("el => el.textContent")
    named = ["NUL", "ESC", "RLO", "LRI", "ZWJ", "U+D83D", "BOM", "U+2028", "∅"]
    for shown in ["</script><script>", "<|im_start|>", "\\xF0", *named]:
        assert shown in text
    for unseen in "\x00\x1b\u202e\u2066\ufeff\u2028":
        assert unseen not in text
    widths = root.locator(".saew-t").evaluate_all("els => els.map(el => el.getBoundingClientRect().width)")
    assert min(widths) > 2, "every token can be seen and clicked"
    for i in range(root.locator(".saew-t").count()):
        root.locator(".saew-t").nth(i).hover()
    root.get_by_role("button", name="Show whitespace").click()
    assert root.locator(".saew-tab").count() == 1


def test_a_character_spread_over_tokens_is_shown_once(lab, heatmap):
    root = heatmap("TokenHeatmap(unicorn_acts())")
    text = root.locator(".saew-text").evaluate("el => el.textContent")
    assert text == "<|endoftext|>A 🦄1⁄32⁄33⁄3 ran"
    root.locator(".saew-t").nth(3).hover()
    tip = root.locator(".saew-tip").inner_text()
    assert "Part 2 of 3 of 🦄" in tip
    assert "\\xA6" in tip


def test_seams_are_marked_and_explained(heatmap):
    root = heatmap("TokenHeatmap(make_acts(seams=(40,)))")
    seam = root.locator(".saew-seam")
    assert seam.count() == 1
    seam.hover()
    assert "context window" in root.locator(".saew-tip").inner_text()


# Themes and size -------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    numbers = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    channels = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in numbers]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_both_themes_can_be_read(lab, heatmap, dark):
    root = heatmap()
    lab.dark(dark)
    surface = luminance(root.evaluate(ORANGE))
    assert (surface < 0.1) == dark
    quiet = [".saew-subtitle", ".saew-status", ".saew-detail", ".saew-badge", ".saew-label"]
    for part in ["h3", ".saew-t:not(.saew-skip)", *quiet]:
        ink = luminance(root.locator(part).first.evaluate("el => getComputedStyle(el).color"))
        lighter, darker = max(surface, ink), min(surface, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, part
    lab.dark(False)


@pytest.mark.parametrize("width", [480, 760, 1400])
def test_it_fits_its_width(lab, heatmap, width):
    root = heatmap()
    root.evaluate("(el, width) => { el.style.width = width + 'px'; }", width)
    overflow = root.evaluate("el => el.scrollWidth - el.clientWidth")
    assert overflow <= 0
    below = root.locator(".saew-side").bounding_box()["y"] >= root.locator(".saew-text").bounding_box()["y"] + 50
    assert below == (width <= 760)


def test_50_000_tokens_paint_and_fetch_what_they_lack(lab, heatmap):
    root = heatmap("TokenHeatmap(long_acts(50_000))")
    lab.page.wait_for_function("() => document.querySelectorAll('.saew-t').length === 50000")
    before = frames(lab, '"column"')
    token(root, "Bridge").click()
    root.locator(".saew-row").nth(5).wait_for()
    feature = lab.ask("int(w.acts.indices[3, 5])")
    lab.expect("w.position", [0, 3])
    root.locator(".saew-row").nth(5).click()
    lab.page.wait_for_function("() => document.querySelector('.saew-subtitle').textContent.startsWith('fires on')")
    lab.expect("w.feature", feature)
    assert frames(lab, '"column"') == before + 1
    fires = lab.ask(f"[bool(v > 0) for v in w.acts.feature_acts({feature})[:3000]]")
    lab.page.wait_for_function("() => document.querySelectorAll('.saew-t')[3].style.backgroundColor !== ''")
    painted = root.locator(".saew-t").evaluate_all(
        "els => els.slice(0, 3000).map(el => el.style.backgroundColor !== '')"
    )
    assert painted == fires
    lab.tell("w.position = [0, 49_000]")
    root.locator(".saew-chosen").wait_for()
    assert root.locator(".saew-text").evaluate("el => el.scrollTop") > 1000


def test_the_state_saved_with_a_notebook_is_small(lab, heatmap):
    heatmap("TokenHeatmap(long_acts(50_000))")
    largest = lab.page.evaluate(
        """async () => {
          const panel = window.jupyterapp.shell.currentWidget;
          await window.jupyterapp.commands.execute("docmanager:save");
          const outputs = panel.content.widgets[0].model.outputs.toJSON();
          return JSON.stringify(outputs).length;
        }"""
    )
    assert largest < 350_000
    assert lab.ask("len(_json.dumps(w.get_state()))") <= 200_000


def test_the_trust_panel_shows_its_findings(lab):
    output = lab.run(f"{SETUP}\nTrustPanel(report('red'))")
    panel = output.locator(".saew-trust")
    panel.wait_for()
    assert panel.locator("h3").inner_text() == "This SAE does not fit this model"
    assert panel.locator("tbody tr").count() == 5
    assert "one layer off" in panel.inner_text()
    assert "1,024 tokens" in panel.inner_text()
