# pyright: reportOptionalSubscript=false
"""The steering panel in a real JupyterLab, and its saved page."""

from __future__ import annotations

import ast
import re

import pytest
from steering_fakes import CHAT, HOSTILE, NOTE, FakeModel  # pyright: ignore[reportMissingImports]

from saewidgets.widgets.steering.protocol import About

pytestmark = pytest.mark.slow

SETUP = "from steering_fakes import *\n"
WAIT = 60


@pytest.fixture
def panel(lab):
    """Shows a panel of a model; the kernel knows the two as m and w."""

    def show(options: str = "strengths={8192: 4.0}", gap: float = 0.0):
        code = f"{SETUP}\nm = FakeModel({gap})\nw = m.panel({options})\nw"
        root = lab.run(code).locator(".saew-steering").first
        root.and_(lab.page.locator("[data-ready]")).wait_for()
        return root

    return show


@pytest.fixture
def page(saved, tmp_path):
    def open_widget(widget, **options):
        widget.save_html(tmp_path / "page.html")
        page = saved(tmp_path / "page.html", **options)
        page.locator(".saew-steering[data-ready]").wait_for()
        return page

    return open_widget


def swept(**options):
    """A panel that has written and swept."""
    widget = FakeModel().panel(**{"strengths": {8192: 4.0, 42: None}, **options})
    widget.write()
    widget.wait(WAIT)
    widget.run_sweep(8192)
    widget.wait(WAIT)
    return widget


def move(root, to: float, nth: int = 0, release: bool = True) -> None:
    """Put a slider somewhere as a hand does, and let go."""
    root.locator(".saew-dial-input").nth(nth).evaluate(
        """(el, [to, release]) => {
          el.value = to;
          el.dispatchEvent(new Event('input', { bubbles: true }));
          if (release) el.dispatchEvent(new Event('change', { bubbles: true }));
        }""",
        [to, release],
    )


def text(root, row: str = "steered") -> str:
    return root.locator(f".saew-side-{row} .saew-prose").evaluate("el => el.textContent")


def words(given: str) -> list[str]:
    return re.findall(r"[\w'’]+|[^\s\w]", given)


# The saved page --------------------------------------------------------------------------------------------------


def test_the_slider_scrubs_through_the_recorded_texts(page):
    widget = swept()
    opened = page(widget)
    rows = {row.strength: row for row in widget.sweeps[8192].of("steered")}
    for strength in (-10, -3, 0, 1.5, 10):
        move(opened, strength)
        assert text(opened) == rows[strength].text
        assert text(opened, "bare") == widget.sweeps[8192].bare.text
    move(opened, 6.4)
    assert text(opened) == rows[6.0].text
    assert opened.locator(".saew-note").inner_text() == "recorded, nearest"
    assert opened.locator(".saew-tag").inner_text() == "+6 × max"
    assert not opened.locator(".saew-write").is_visible()
    assert not opened.locator(".saew-search").is_visible()
    assert not opened.locator(".saew-measure").first.is_visible()


def test_controls_are_read_beside_the_steered_text(page):
    widget = swept()
    opened = page(widget)
    by_name = {"Random direction": "random", "Control feature": "control"}
    for name, kind in by_name.items():
        opened.get_by_role("button", name=name).click()
        nearest = min(widget.sweeps[8192].of(kind), key=lambda row: abs(row.strength - 4))
        assert text(opened) == nearest.text
    opened.get_by_role("button", name="Asked in words").click()
    assert text(opened) == widget.sweeps[8192].of("prompt")[0].text
    opened.get_by_role("button", name="Steered", exact=True).click()
    move(opened, 4)
    assert opened.get_by_role("button", name="Steered", exact=True).get_attribute("aria-pressed") == "true"


def test_off_zero_up_and_down_can_be_told_apart(page):
    opened = page(swept())
    dial, switch, value = (
        opened.locator(".saew-dial").first,
        opened.get_by_role("switch").first,
        opened.locator("output"),
    )
    slider = opened.get_by_role("slider", name="Strength of Golden Gate Bridge")
    seen = set()
    for strength, state, words_shown in ((4, "up", "+4 × max"), (-4, "down", "−4 × max"), (0, "ablated", "0, ablated")):
        move(opened, strength)
        assert dial.get_attribute("data-state") == state
        assert value.first.inner_text() == words_shown
        assert slider.get_attribute("aria-valuetext") == words_shown
        seen.add(value.first.evaluate("el => getComputedStyle(el).color"))
    switch.click()
    assert dial.get_attribute("data-state") == "off"
    assert value.first.inner_text() == "off"
    assert switch.get_attribute("aria-checked") == "false"
    assert slider.get_attribute("aria-valuetext") == "off, at 0, ablated"
    seen.add(value.first.evaluate("el => getComputedStyle(el).color"))
    assert len(seen) == 4
    assert text(opened) == text(opened, "bare")
    assert opened.locator(".saew-note").inner_text() == "nothing is switched on"


@pytest.mark.parametrize("strength", [-6, 1, 4, 10])
def test_what_is_not_marked_is_the_same_on_both_sides(page, strength):
    opened = page(swept())
    move(opened, strength)
    kept = [
        words(
            opened.locator(f".saew-side-{row} .saew-prose").evaluate(
                "el => [...el.childNodes].filter((n) => n.nodeName !== 'MARK').map((n) => n.textContent).join(' ')"
            )
        )
        for row in ("bare", "steered")
    ]
    assert kept[0] == kept[1]
    # No longer common subsequence exists: an independent dynamic program.
    one, two = words(text(opened, "bare")), words(text(opened))
    best = [0] * (len(two) + 1)
    for word in one:
        row = [0]
        for j, other in enumerate(two):
            row.append(max(best[j] + (word == other), best[j + 1], row[j]))
        best = row
    assert len(kept[0]) == best[-1]


def test_the_ribbon_says_what_was_asked_and_read_of_every_token(page):
    widget = swept()
    opened = page(widget)
    move(opened, 6)
    record = next(row for row in widget.sweeps[8192].of("steered") if row.strength == 6.0).steered
    strip = opened.get_by_role("slider", name="Tokens of the prompt")
    assert strip.get_attribute("aria-valuemax") == str(len(record))
    assert (
        f"{record.modified.sum()} of {len(record)} tokens modified" in opened.locator(".saew-ribbon-say").inner_text()
    )
    strip.focus()
    opened.keyboard.press("Home")
    assert "start token, never steered" in strip.get_attribute("aria-valuetext")
    opened.keyboard.press("ArrowRight")
    said = strip.get_attribute("aria-valuetext")
    assert said.startswith("·Who: prompt, token 2 · modified · asked 6 × max · reads ")
    assert abs(float(said.split("reads ")[1].split()[0]) - record.readback[1, 0]) < 0.01
    opened.keyboard.press("End")
    assert f"answer, token {len(record)}" in strip.get_attribute("aria-valuetext")
    bars = opened.locator(".saew-ribbon-read").get_attribute("d").count("M")
    assert bars == 2 * record.modified.sum(), "a bar and a foot for every modified token"


def test_dose_and_response_are_drawn_where_the_slider_stands(page):
    widget = swept()
    opened = page(widget)
    sweep = widget.sweeps[8192]
    bare = sweep.bare
    far = [r for r in sweep.of("steered") if r.perplexity > 2 * bare.perplexity or r.repetition > bare.repetition + 0.1]
    assert 0 < len(far) < 17
    card = opened.locator(".saew-feature").first
    plots = card.locator(".saew-dose-plot")
    assert plots.count() == 4
    assert plots.first.locator(".saew-dose-far").count() == len(far)
    assert plots.first.locator(".saew-dose-dot").count() == 17 - len(far)
    opened.get_by_role("button", name="Sweet spot +4 × max").click()
    assert opened.locator("output").first.inner_text() == "+4 × max"
    row = next(row for row in sweep.of("steered") if row.strength == 4.0)
    shown = card.locator(".saew-dose-value").all_inner_texts()
    assert shown[0] == f"{row.readback:.3g} × max"
    assert shown[2] == f"{row.perplexity:.3g} · bare {bare.perplexity:.3g}"
    # The hand's line stands under the middle of the knob.
    box, dial = plots.first.bounding_box(), opened.locator(".saew-dial-input").first.bounding_box()
    line = float(re.match(r"M([\d.]+)", plots.first.locator(".saew-dose-here").get_attribute("d"))[1])
    knob = dial["x"] + 9 + (4 + 10) / 20 * (dial["width"] - 18)
    assert abs(box["x"] + line - knob) < 1.5


def test_a_drag_along_the_strip_scrubs_too(page):
    opened = page(swept())
    box = opened.locator(".saew-dose-plot").nth(1).bounding_box()
    opened.mouse.move(box["x"] + 9 + 0.25 * (box["width"] - 18), box["y"] + 20)
    opened.mouse.down()
    assert opened.locator("output").first.inner_text() == "−5 × max"
    opened.mouse.move(box["x"] + 9 + 0.9 * (box["width"] - 18), box["y"] + 20)
    opened.mouse.up()
    assert opened.locator("output").first.inner_text() == "+8 × max"


def test_the_code_is_python_and_follows_the_slider(page):
    opened = page(swept(prompt='She said "hi"\n\\ ☃', seed=3, where="generation"))
    move(opened, 6)
    opened.get_by_role("button", name="Show code").click()
    code = opened.locator(".saew-code").inner_text()
    assert len(code.strip().split("\n")) == 3
    call = ast.parse(code).body[2].value.args[0]
    assert ast.literal_eval(call.args[0]) == 'She said "hi"\n\\ ☃'
    assert ast.literal_eval(call.args[1]) == {8192: 6}
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == {"seed": 3, "where": "generation"}
    assert code.split("\n")[1] == "s = sw.demo()"


def test_the_code_of_a_chat_spells_it_out(page):
    turns = [{"role": "system", "content": 'Say "hi"\n\\ ☃'}, *CHAT]
    opened = page(swept(prompt=turns, seed=3, chat=False))
    move(opened, 6)
    opened.get_by_role("button", name="Show code").click()
    lines = ast.parse(opened.locator(".saew-code").inner_text()).body
    assert ast.literal_eval(lines[2].value) == turns
    call = lines[3].value.args[0]
    assert (lines[2].targets[0].id, call.args[0].id, call.func.attr) == ("chat", "chat", "generate")
    assert ast.literal_eval(call.args[1]) == {8192: 6}
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == {"seed": 3}


def shown_turns(root):
    """Role and text of the turns to be seen."""
    return root.locator(".saew-turn:visible").evaluate_all(
        "els => els.map((el) => [...el.children].map((c) => c.textContent))"
    )


def test_the_turns_of_a_chat_stand_above_the_prompt(page):
    opened = page(swept(prompt=CHAT))
    assert shown_turns(opened) == [[turn["role"], turn["content"]] for turn in CHAT[:-1]]
    field = opened.get_by_role("textbox", name="Prompt, the user's turn")
    assert field.input_value() == CHAT[-1]["content"]
    last = opened.locator(".saew-turn").last.bounding_box()
    assert last["y"] + last["height"] <= field.bounding_box()["y"]
    # Roles and texts stand in the columns of the prompt's own.
    roles, texts = opened.locator(".saew-turn-role"), opened.locator(".saew-turn-text")
    assert opened.locator(".saew-turn-toggle").is_hidden()
    left = [
        roles.nth(i).evaluate("el => el.getBoundingClientRect().left + parseFloat(getComputedStyle(el).paddingLeft)")
        for i in range(4)
    ]
    assert max(left) - min(left) < 1
    inside = field.evaluate("el => el.getBoundingClientRect().left + parseFloat(getComputedStyle(el).paddingLeft)")
    assert abs(texts.first.bounding_box()["x"] - inside) < 1
    assert opened.get_by_label("Chat template").is_hidden()


def test_a_string_has_no_turns(page):
    opened = page(swept())
    assert opened.locator(".saew-turns").is_hidden()
    assert opened.locator(".saew-ask .saew-turn-role").is_hidden()
    assert opened.get_by_role("textbox", name="Prompt", exact=True).is_visible()
    assert opened.get_by_label("Chat template").is_visible()


@pytest.mark.parametrize("width", [480, 1180])
def test_a_long_chat_is_folded_and_the_keyboard_unfolds_it(page, width):
    long = [{"role": "system", "content": "Be kind. " * 90}, *CHAT[1:3] * 4, CHAT[-1]]
    opened = page(swept(prompt=long), viewport={"width": width, "height": 900})
    assert [row[0] for row in shown_turns(opened)] == ["system", "⋯", "user", "assistant"]
    assert "6 more turns" in opened.locator(".saew-turn-gap").inner_text()
    assert opened.locator(".saew-turn-text").first.bounding_box()["height"] == 40
    toggle = opened.get_by_role("button", name="Show the whole chat")
    assert toggle.get_attribute("aria-expanded") == "false"
    toggle.focus()
    opened.keyboard.press("Enter")
    assert shown_turns(opened) == [[turn["role"], turn["content"]] for turn in long[:-1]]
    assert opened.locator(".saew-turn-text").first.bounding_box()["height"] > 60
    root = opened.locator(".saew-steering")
    assert root.evaluate("el => el.scrollWidth - el.clientWidth") <= 0
    opened.get_by_role("button", name="Show less").press("Enter")
    assert len(shown_turns(opened)) == 4


def test_a_text_is_cut_only_where_the_panel_is_narrow(page):
    opened = page(
        swept(prompt=[{"role": "system", "content": "Be kind to all. " * 8}, CHAT[-1]]),
        viewport={"width": 1180, "height": 800},
    )
    assert opened.locator(".saew-turn-toggle").is_hidden()
    opened.set_viewport_size({"width": 420, "height": 800})
    opened.get_by_role("button", name="Show the whole chat").wait_for()


def test_hostile_text_is_only_text(page):
    class Hostile(FakeModel):
        def describe(self, feature):
            return About(HOSTILE, 1.0, HOSTILE)

    model = Hostile()
    widget = model.panel(
        prompt=[{"role": HOSTILE, "content": HOSTILE}, *CHAT[:-1], {"role": "user", "content": HOSTILE}],
        strengths={8192: 4.0},
    )
    widget.write()
    widget.wait(WAIT)
    opened = page(widget, color_scheme="dark")
    assert opened.evaluate("() => window.hacked") is None
    assert opened.locator("img").count() == 0
    for part in (".saew-feature-name", ".saew-feature-note"):
        assert "</script>" in opened.locator(part).inner_text()
    assert opened.locator(".saew").evaluate("el => getComputedStyle(el).backgroundColor") == "rgb(20, 23, 27)"


def test_what_was_measured_of_a_recipe_is_below_its_slider(page):
    widget = FakeModel().panel(strengths={8192: 4.0, 42: 1.0})
    widget.write()
    widget.wait(WAIT)
    opened = page(widget)
    cards = opened.locator(".saew-feature")
    assert cards.nth(0).locator(".saew-feature-note").inner_text() == NOTE
    assert cards.nth(1).locator(".saew-feature-note").is_hidden()


@pytest.mark.parametrize("width", [360, 480, 700, 900, 1200])
def test_it_fits_its_width(page, width):
    opened = page(swept(), viewport={"width": width, "height": 900})
    root = opened.locator(".saew-steering")
    assert root.evaluate("el => el.scrollWidth - el.clientWidth") <= 0
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= width
    assert opened.locator(".saew-dial").first.bounding_box()["width"] > 200


def luminance(colour: str) -> float:
    numbers = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    channels = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in numbers]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_can_be_read(page, scheme):
    opened = page(swept(), color_scheme=scheme)
    surface = luminance(opened.locator(".saew").evaluate("el => getComputedStyle(el).backgroundColor"))
    quiet = [".saew-dose-name", ".saew-dose-note", ".saew-dose-key", ".saew-status", ".saew-ribbon-say", ".saew-note"]
    quiet += [".saew-feature-note"]
    for part in ["h3", "output", ".saew-tick-zero", ".saew-tag", ".saew-prose-steered", ".saew-setting", *quiet]:
        ink = luminance(opened.locator(part).first.evaluate("el => getComputedStyle(el).color"))
        lighter, darker = max(surface, ink), min(surface, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, part


def test_a_view_that_ends_leaves_nothing_behind(page):
    opened = page(swept())
    left = opened.evaluate(
        """() => {
          let watched = 0;
          const settings = { where: 'both', seed: 0, temperature: 0, top_p: 1, max_new_tokens: 9, chat: null };
          const can = { sweep: true, search: true, d_sae: 9, limits: { clamp: [-10, 10] }, starts: { clamp: 4 } };
          const state = {
            _live: true, _status: { state: 'idle', progress: 0, error: '' }, _labels: {}, _can: can, settings,
            features: [1, 2], feature: 1, strengths: { 1: 2 }, prompt: 'x', kind: 'clamp', badge: { status: 'green' },
            _source: { place: '', opened: '' }, turns: [{ role: 'a', content: 'b' }],
          };
          const model = {
            get: (name) => state[name], set() {}, save_changes() {}, send() {},
            on: () => watched++, off: () => watched--,
          };
          const el = document.createElement('div');
          document.body.append(el);
          const stop = widget.render({ model, el });
          const during = [watched > 5, el.children.length];
          stop();
          return [during, watched, el.children.length];
        }"""
    )
    assert left == [[True, 1], 0, 0]


# In JupyterLab -------------------------------------------------------------------------------------------------


def test_it_writes_at_once_and_a_drag_writes_anew(lab, panel):
    root = panel()
    lab.expect("w._status['state']", "idle")
    lab.expect("[len(m.asked), w._run]", [1, 1])
    root.locator(".saew-prose-steered mark").first.wait_for()
    assert text(root) == lab.ask("w.results[1].text")
    assert text(root, "bare") == lab.ask("w.results[0].text")
    slider = root.locator(".saew-dial-input").bounding_box()
    at = lambda strength: slider["x"] + 9 + (strength + 10) / 20 * (slider["width"] - 18)  # noqa: E731
    lab.page.mouse.move(at(4), slider["y"] + 14)
    lab.page.mouse.down()
    for step in range(5, 9):
        lab.page.mouse.move(at(step), slider["y"] + 14)
    lab.page.mouse.up()
    lab.expect("w._run", 2)
    lab.expect("w._status['state']", "idle")
    strength = lab.ask("w.strengths[8192]")
    assert abs(strength - 8) < 0.3
    lab.page.wait_for_function(
        "(text) => document.querySelector('.saew-prose-steered').textContent === text", arg=lab.ask("w.results[1].text")
    )
    assert lab.ask("float(w.tokens.requested.dropna().iloc[0])") == pytest.approx(strength, abs=1e-6)


def test_a_moved_slider_steers_the_words_that_follow(lab, panel):
    root = panel("strengths={8192: 0.5}, max_new_tokens=4000", gap=0.04)
    lab.page.wait_for_function("() => document.querySelector('.saew-prose-steered').textContent.length > 40")
    assert root.get_attribute("data-state") == "writing"
    move(root, 10)
    lab.expect("m.live_seen[-1][0].strength", 10)
    root.get_by_role("button", name="Stop").click()
    lab.expect("w._status['state']", "stopped")
    requested = lab.ask("w.tokens.query(\"part == 'generated'\").requested.tolist()")
    assert (requested[0], requested[-1]) == (0.5, 10)
    assert lab.ask("len(m.asked)") == 1
    root.locator(".saew-note", has_text="moved while writing").wait_for()
    assert text(root) == lab.ask("w.results[1].text")


def test_a_slider_released_after_the_last_word_writes_anew_though_it_moved_before(lab, panel):
    root = panel("strengths={8192: 0.5}, max_new_tokens=80", gap=0.03)
    root.and_(lab.page.locator("[data-state='writing']")).wait_for()
    lab.tell("m.free.clear()")
    move(root, 6)
    lab.expect("len(m.live_seen)", 80, timeout=30)
    assert lab.ask("m.live_seen[-1][0].strength") == 6
    move(root, 10)
    lab.expect("w.strengths", {"8192": 10})
    lab.tell("m.free.set()")
    lab.expect("[len(m.asked), w._status['state'], m.live_seen[-1][0].strength]", [2, "idle", 10], timeout=30)
    assert lab.ask("w._request.strengths") == {"8192": 10}


def test_stop_keeps_the_words_and_escape_stops_too(lab, panel):
    root = panel("strengths={8192: 4.0}, max_new_tokens=2000", gap=0.03)
    for press in (lambda: root.get_by_role("button", name="Stop").click(), lambda: lab.page.keyboard.press("Escape")):
        root.and_(lab.page.locator("[data-state='writing']")).wait_for()
        lab.page.wait_for_function("() => document.querySelector('.saew-prose-steered').textContent.length > 30")
        press()
        lab.expect("w._status['state']", "stopped")
        lab.page.wait_for_function("() => !document.querySelector('.saew-caret')")
        assert text(root) == lab.ask("w.results[1].text")
        root.get_by_role("button", name="Write").click()
    lab.expect("w._status['state']", "writing")
    lab.tell("w.stop()")
    lab.expect("w._status['state']", "stopped")


def test_200_fast_moves_end_with_the_last(lab, panel):
    root = panel("strengths={8192: 4.0}, max_new_tokens=20", gap=0.01)
    lab.expect("w._status['state']", "idle")
    root.locator(".saew-dial-input").evaluate(
        """async (el) => {
          for (let i = 0; i < 200; i++) {
            el.value = -10 + i / 10;
            el.dispatchEvent(new Event('input'));
            if (i % 20 === 0) el.dispatchEvent(new Event('change'));
            if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 4));
          }
          el.dispatchEvent(new Event('change'));
        }"""
    )
    last = "[w.strengths, w._status['state'], {str(c.feature): c.strength for c in m.live_seen[-1]}]"
    lab.expect(last, [{"8192": 9.9}, "idle", {"8192": 9.9}], timeout=30)
    assert lab.ask("len(m.asked)") <= 13
    assert root.locator("output").inner_text() == "+9.9 × max"
    lab.page.wait_for_function(
        "(text) => document.querySelector('.saew-prose-steered').textContent === text", arg=lab.ask("w.results[1].text")
    )


def test_a_sweep_is_watched_and_then_scrubbed_while_the_kernel_is_busy(lab, panel, tmp_path):
    root = panel("strengths={8192: 4.0}", gap=0.03)
    lab.expect("w._status['state']", "idle", timeout=30)
    root.get_by_role("button", name="Dose–response").click()
    root.locator(".saew-sweep-progress").wait_for()
    root.locator(".saew-dose").wait_for(timeout=30_000)
    texts = dict(lab.ask("[[r.strength, r.text] for r in w.sweeps[8192].of('steered')]"))
    asked = lab.ask("len(m.asked)")
    release = tmp_path / "release"
    lab.page.evaluate(
        """(path) => {
          const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
          const code = `import os, time\nwhile not os.path.exists(${JSON.stringify(path)}): time.sleep(0.05)`;
          window.released = false;
          kernel.requestExecute({ code }).done.then(() => (window.released = true));
        }""",
        str(release),
    )
    for strength in (10.0, -3.0, 6.0, 2.0):
        move(root, strength)
        assert text(root) == texts[strength]
    assert not lab.page.evaluate("() => window.released"), "the page waited for the kernel"
    release.touch()
    lab.expect("w.strengths", {"8192": 2})
    assert lab.ask("len(m.asked)") == asked
    root.locator(".saew-remove").click()
    lab.expect("[w.features, w.strengths]", [[], {}])


def test_features_are_found_by_words_number_and_trait(lab, panel):
    root = panel("")
    assert root.locator(".saew-empty").is_visible()
    field = root.get_by_role("combobox", name="Add a feature")
    field.press_sequentially("bridge", delay=20)
    root.get_by_role("option", name="Golden Gate Bridge").wait_for()
    field.press("Enter")
    lab.expect("[w.features, w.strengths, w.feature]", [[8192], {}, 8192])
    field.fill("99999")
    assert "features 0 to 16383" in root.locator(".saew-found").inner_text()
    field.fill("7")
    field.press("Enter")
    lab.expect("w.features", [8192, 7])
    lab.tell("w.feature = 42")
    root.locator(".saew-feature-name", has_text="the sea").wait_for()
    assert root.get_by_role("switch").evaluate_all("els => els.map((el) => el.ariaChecked)") == ["false"] * 3
    field.fill("boom")
    root.locator(".saew-found", has_text="the index is broken").wait_for()
    field.press("Escape")
    root.get_by_role("switch", name="Steer with the sea").click()
    lab.expect("w.strengths", {"42": 4})


def test_an_error_is_shown_and_the_next_text_clears_it(lab, panel):
    root = panel("")
    lab.tell("m.fail = ValueError('the prompt has 9000 tokens, but the context holds 8192: shorten it')")
    root.get_by_role("button", name="Write").click()
    root.get_by_role("alert").filter(has_text="shorten it").wait_for()
    lab.tell("m.fail = None")
    prompt = root.get_by_role("textbox", name="Prompt")
    prompt.fill("Another question")
    prompt.press("Enter")
    lab.expect("[w._status['error'], w.prompt, m.asked[-1][0]]", ["", "Another question", "Another question"])
    root.get_by_role("alert").wait_for(state="hidden")


def test_a_chat_is_written_with_the_turn_as_edited(lab, panel):
    root = panel("strengths={8192: 4.0}, prompt=CHAT")
    lab.expect("[w._status['state'], m.asked[0][0] == CHAT]", ["idle", True])
    prompt = root.get_by_role("textbox", name="Prompt")
    prompt.fill("And the fog?")
    prompt.press("Enter")
    lab.expect("[len(m.asked), m.asked[-1][0] == [*CHAT[:-1], {'role': 'user', 'content': 'And the fog?'}]]", [2, True])
    lab.tell("w.turns = [{'role': 'system', 'content': 'Be brief.'}]")
    root.locator(".saew-turn-text", has_text="Be brief.").wait_for()
    root.locator(".saew-note", has_text="written with other settings").wait_for()
    lab.tell("w.turns = None")
    root.locator(".saew-turns").wait_for(state="hidden")


def test_settings_are_taken(lab, panel):
    root = panel()
    lab.expect("w._status['state']", "idle")
    root.get_by_label("Seed").fill("5")
    root.get_by_label("Seed").press("Tab")
    lab.expect("m.asked[-1][2]['seed']", 5)
    root.get_by_label("Which tokens").select_option("generation")
    lab.expect("m.asked[-1][2]['where']", "generation")
    root.get_by_label("How to steer").select_option("add")
    lab.expect("[w.kind, w.strengths, m.asked[-1][1][0].kind]", ["add", {"8192": 1}, "add"])
    assert root.locator("output").inner_text() == "+1 × ‖x‖"


def test_two_panels_at_once(lab):
    code = f"""{SETUP}
from IPython.display import display
m = FakeModel(0.01)
one, two = m.panel(strengths={{8192: 8.0}}), m.panel(strengths={{42: 8.0}})
display(one); display(two)"""
    output = lab.run(code)
    lab.expect("[one._status['state'], two._status['state'], len(m.asked)]", ["idle", "idle", 2], timeout=30)
    for i, name in enumerate(("one", "two")):
        root = output.locator(".saew-steering").nth(i)
        root.locator("mark").first.wait_for()
        assert text(root) == lab.ask(f"{name}.results[1].text")


def test_a_reloaded_page_has_texts_and_sweeps(lab, panel):
    panel()
    lab.expect("w._status['state']", "idle")
    lab.tell("w.run_sweep(8192); w.wait(30)")
    root = lab.reopened(".saew-steering[data-ready]")
    root.locator(".saew-dose").wait_for()
    assert text(root) == lab.ask("[r.text for r in w.sweeps[8192].of('steered') if r.strength == 4][0]")
    assert lab.ask("len(m.asked)") == 1


def test_keys_of_the_notebook_do_not_act_on_the_panel(lab, panel):
    root = panel()
    lab.expect("w._status['state']", "idle")
    root.get_by_role("slider", name="Strength of").focus()
    for key in ("d", "d", "x", "ArrowRight", "ArrowRight"):
        lab.page.keyboard.press(key)
    lab.expect("[w.strengths, w._request.strengths]", [{"8192": 5}, {"8192": 5}])
    assert lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == 1
