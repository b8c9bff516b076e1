// The lines of Python that write the shown text again: three, and the turns of a chat.
const CALLS = { clamp: null, at_least: "sw.at_least", add: "sw.add" };
const USUAL = { where: "both", max_new_tokens: 60, temperature: 0, top_p: 1, seed: 0, chat: null };

// A JSON string is a Python string, but for lone surrogates, which JSON.stringify escapes.
const python = (value) => (typeof value === "string" ? JSON.stringify(value) : { null: "None", true: "True", false: "False" }[String(value)] ?? String(value));

const chatLines = (turns) => ["chat = [", ...turns.map(({ role, content }) => `    {"role": ${python(role)}, "content": ${python(content)}},`), "]"];

function codeOf(view) {
  const { model } = view;
  const shown = shownTexts(view);
  const kind = shown?.from === "written" ? shown.written.kind : model.get("kind");
  const swept = shown?.from === "swept" && shown.steered.strength !== null ? { [shown.sweep.feature]: shown.steered.strength } : null;
  const strengths = swept ?? (shown?.from === "written" && !shown.written.changed ? shown.written.strengths : model.get("strengths"));
  const made = shown?.written ?? shown?.sweep ?? null;
  const settings = made?.settings ?? model.get("settings");
  const prompt = made?.prompt ?? model.get("prompt");
  const turns = made ? made.turns ?? null : turnsOf(model);
  const pairs = Object.entries(strengths);
  const entries = pairs.map(([feature, strength]) => (CALLS[kind] ? `${CALLS[kind]}(${feature}, ${strength})` : `${feature}: ${strength}`)).join(", ");
  const given = CALLS[kind] ? `[${entries}]` : `{${entries}}`;
  const extra = Object.keys(USUAL).filter((name) => settings[name] !== USUAL[name] && !(turns && name === "chat")).map((name) => `${name}=${python(settings[name])}`);
  const call = [turns ? "chat" : python(prompt), ...(pairs.length ? [given] : []), ...extra].join(", ");
  const note = shown?.written?.changed ? "  # all of it at the last strength" : "";
  return ["import saewidgets as sw", model.get("_source").opened, ...(turns ? chatLines([...turns, { role: "user", content: prompt }]) : []), `print(s.generate(${call}))${note}`].join("\n");
}

function createCode(view, root) {
  const { signal } = view;
  const toggle = button({ class: "saew-tool", "aria-haspopup": "dialog", "aria-expanded": "false" }, icon("code"), "Show code");
  const text = make("pre", { class: "saew-code", tabindex: "0" });
  const copy = button({ class: "saew-tool" }, icon("copy"), make("span", {}, "Copy"));
  const box = floating(root, "saew-code-box", { role: "dialog", "aria-label": "Python that writes the steered text again", tabindex: "-1" });
  box.append(make("div", { class: "saew-code-head" }, make("b", {}, "The same text from Python"), copy), text);
  let open = false;

  function close(refocus) {
    open = false;
    hide(box);
    toggle.setAttribute("aria-expanded", "false");
    if (refocus) toggle.focus();
  }

  function paint() {
    if (open) text.textContent = codeOf(view);
  }

  listen(toggle, "click", () => {
    if (open) return close(false);
    open = true;
    toggle.setAttribute("aria-expanded", "true");
    copy.lastChild.textContent = "Copy";
    paint();
    showAt(box, toggle.getBoundingClientRect(), true);
    box.focus();
  }, signal);
  listen(copy, "click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      copy.lastChild.textContent = "Copied";
    } catch {
      // Without leave to write to the clipboard, the lines are selected for the person to copy.
      getSelection().selectAllChildren(text);
      copy.lastChild.textContent = "Selected";
    }
  }, signal);
  listen(box, "keydown", (event) => event.key === "Escape" && close(true), signal);
  listen(document, "pointerdown", (event) => {
    const path = event.composedPath();
    if (open && !path.includes(box) && !path.includes(toggle)) close(false);
  }, signal);
  return { toggle, paint };
}
