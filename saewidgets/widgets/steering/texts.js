// The bare text and the steered one side by side, their differences marked.
const KINDS_SHOWN = { steered: "Steered", random: "Random direction", control: "Control feature", prompt: "Asked in words" };

function createTexts(view) {
  const { model, signal } = view;
  const bare = make("div", { class: "saew-prose", dir: "auto", tabindex: "0", role: "group", "aria-label": "Text of the bare model" });
  const steered = make("div", { class: "saew-prose saew-prose-steered", dir: "auto", tabindex: "0", role: "group", "aria-label": "Steered text" });
  const tag = make("span", { class: "saew-num saew-tag" });
  const note = make("span", { class: "saew-faint saew-note" });
  const pick = make("div", { class: "saew-choice", role: "group", "aria-label": "What to compare with" });
  const title = make("h4", {}, "Steered");
  const node = make("div", { class: "saew-texts" },
    make("section", { class: "saew-side-bare" }, make("header", {}, make("h4", {}, "Bare model")), bare),
    make("section", { class: "saew-side-steered" }, make("header", {}, title, pick, tag, note), steered));
  const segments = Object.entries(KINDS_SHOWN).map(([kind, text]) => {
    const segment = button({ class: "saew-segment" }, text);
    listen(segment, "click", () => {
      view.compare = kind;
      view.paint();
      view.sayText();
    }, signal);
    return [kind, segment];
  });
  pick.append(...segments.map(([, segment]) => segment));
  let key = "";

  function fill(box, runs, writing, empty) {
    box.replaceChildren(...runs.map(([text, differs]) => (differs ? make("mark", {}, text) : text)));
    if (writing) box.append(make("span", { class: "saew-caret", "aria-hidden": "true" }));
    else if (!runs.length) box.append(make("span", { class: "saew-faint" }, empty));
  }

  function tagOf(shown) {
    const kind = model.get("kind");
    if (shown.from === "off") return "";
    if (shown.from === "swept") return shown.steered.strength === null ? "" : strengthText(shown.steered.strength, kind);
    const on = Object.entries(shown.written.strengths);
    return on.map(([feature, strength]) => `${on.length > 1 ? `${nameOf(view, feature)}: ` : ""}${strengthText(strength, shown.written.kind)}`).join(" · ");
  }

  function noteOf(shown) {
    if (shown.from === "off") return "nothing is switched on";
    if (shown.from === "swept") {
      const on = Object.values(model.get("strengths"))[0];
      return shown.steered.strength === null || Math.abs(shown.steered.strength - on) < 1e-9 ? "recorded" : "recorded, nearest";
    }
    if (shown.written.changed) return "moved while writing";
    if (shown.stale && !sameStrengths(shown.written.strengths, model.get("strengths"))) return "written before the slider moved";
    if (shown.stale) return "written with other settings";
    return Object.keys(shown.written.strengths).length ? "" : "nothing was switched on";
  }

  return {
    node,
    paint() {
      const shown = shownTexts(view);
      const writing = view.status.state === "writing";
      node.toggleAttribute("data-writing", writing);
      const sweep = shown?.sweep;
      pick.hidden = !sweep || shown.from === "off";
      title.hidden = !pick.hidden;
      for (const [kind, segment] of segments) {
        segment.hidden = !sweep || !rowsOf(sweep, kind).length;
        segment.setAttribute("aria-pressed", String(view.compare === kind));
      }
      tag.textContent = shown ? tagOf(shown) : "";
      note.textContent = shown ? noteOf(shown) : "";
      node.toggleAttribute("data-stale", !!shown?.stale);
      const [one, two] = shown ? [shown.bare.text, shown.steered.text] : ["", ""];
      const next = `${writing}\n${one}\n\u0000${two}`;
      if (next === key) return;
      key = next;
      const [left, right] = differences(one, two);
      fill(bare, left, writing, "What the model writes by itself.");
      fill(steered, right, writing, "What it writes with the features you switch on.");
    },
  };
}
