// The reader's own sentence, run while it is typed.
const TYPING_MS = 180;
const TYPED = -1;

function createTester(view) {
  const field = make("textarea", { class: "saew-input", rows: "1", dir: "auto", spellcheck: "false", placeholder: "Type a sentence to see where this feature fires", "aria-label": "Your own sentence" });
  const said = make("p", { class: "saew-tested-said", role: "status" });
  const result = make("div", { class: "saew-tested" });
  const node = make("section", { class: "saew-part-of saew-tester", "aria-label": "Test your own sentence" }, make("h4", {}, "Your own sentence"), field, said, result);
  const state = { generation: 0, answered: 0, timer: null, example: null, part: null };

  function say(text, wrong = false) {
    said.textContent = text;
    said.classList.toggle("saew-wrong", wrong);
    said.hidden = !text;
  }

  function ask() {
    clearTimeout(state.timer);
    state.generation += 1;
    if (!field.value.trim()) {
      Object.assign(state, { example: null, part: null, answered: state.generation });
      result.replaceChildren();
      return say("");
    }
    view.ask("test", { generation: state.generation, feature: view.feature, text: field.value });
    // A line that comes and goes with every key would only flicker.
    setTimeout(() => state.answered < state.generation && !said.textContent && say("computing…"), 400);
  }

  function later() {
    clearTimeout(state.timer);
    state.timer = setTimeout(ask, TYPING_MS);
  }

  listen(field, "input", (event) => !event.isComposing && later(), view.signal);
  listen(field, "compositionend", later, view.signal);
  view.signal.addEventListener("abort", () => clearTimeout(state.timer));
  say("");

  function show(full) {
    const { example } = state;
    const firing = example.tokens.filter((_, i) => example.values[i] > 0 && !example.skipped.has(i)).length;
    const top = example.values.reduce((most, value, i) => (example.skipped.has(i) ? most : Math.max(most, value)), 0);
    const ask = view.can.has("ablate") && example.runs ? () => view.ablate(TYPED, state.text) : null;
    // Above the known maximum, or where none is known, the sentence sets the scale.
    state.part = createOpened(example, Math.max(full, top), ask, view.announce);
    result.replaceChildren(state.part.node);
    say(firing ? `fires on ${count(firing, "token")}, at most ${brief(top)}${full > 0 ? `: ${Math.round((100 * top) / full)} % of its maximum in the corpus` : ""}` : "does not fire on this sentence");
  }

  return {
    node,
    part: () => state.part,
    example: () => state.example,
    effect(effect) {
      if (state.example) state.example.effect = effect;
    },
    // Another feature is shown: the sentence stays, and is run again.
    moved() {
      node.hidden = !view.can.has("test");
      if (!field.value.trim()) return;
      result.replaceChildren();
      say("");
      ask();
    },
    tested({ meta, examples, generation }) {
      if (generation !== state.generation || meta.feature !== view.feature) return;
      Object.assign(state, { answered: generation, example: examples[0], text: meta.text });
      show(view.card?.maximum ?? 0);
    },
    failed(generation, message) {
      if (generation !== state.generation) return;
      state.answered = generation;
      result.replaceChildren();
      say(message, true);
    },
  };
}
