// How texts are written: the kind of steering, where, how long, how random.
const KIND_NAMES = { clamp: "Clamp to", at_least: "Hold at least", add: "Add" };
const PLACE_NAMES = { both: "prompt and answer", prompt: "prompt only", generation: "answer only" };

function createSettings(view) {
  const { model, signal } = view;
  const options = (names) => Object.entries(names).map(([value, text]) => make("option", { value }, text));
  const kind = make("select", { "aria-label": "How to steer" }, ...options(KIND_NAMES));
  const where = make("select", { "aria-label": "Which tokens are steered" }, ...options(PLACE_NAMES));
  const number = (label, attributes) => make("input", { type: "number", "aria-label": label, ...attributes });
  const seed = number("Seed", { min: 0, step: 1 });
  const temperature = number("Temperature", { min: 0, max: 10, step: 0.1 });
  const length = number("Longest answer, tokens", { min: 1, max: 4096, step: 1 });
  const chat = make("select", { "aria-label": "Chat template" }, ...options({ null: "where the model has one", true: "yes", false: "no" }));
  const labelled = (text, field) => make("label", { class: "saew-setting" }, make("span", {}, text), field);
  const template = labelled("Chat template", chat);
  const node = make("div", { class: "saew-settings", role: "group", "aria-label": "Settings" },
    labelled("Steer", kind), labelled("on", where), labelled("Tokens", length), labelled("Temperature", temperature), labelled("Seed", seed), template);
  const fields = { where, seed, temperature, max_new_tokens: length };

  function take() {
    const settings = { ...model.get("settings"), where: where.value, chat: { null: null, true: true, false: false }[chat.value] };
    for (const [name, field] of [["seed", seed], ["temperature", temperature], ["max_new_tokens", length]]) {
      if (field.value !== "" && field.validity.valid) settings[name] = Number(field.value);
    }
    const [low, high] = model.get("_can").limits[kind.value];
    const strengths = Object.fromEntries(Object.entries(model.get("strengths")).map(([feature, strength]) => [feature, Math.min(high, Math.max(low, strength))]));
    const changed = kind.value !== model.get("kind");
    view.asked.set({ settings, ...(changed ? { kind: kind.value, strengths } : {}) });
    paint();
    if (view.written || changed) view.asked.released();
  }

  function paint() {
    const settings = model.get("settings");
    kind.value = model.get("kind");
    chat.value = String(settings.chat);
    // A chat is always written with the template.
    template.hidden = turnsOf(model) !== null;
    for (const [name, field] of Object.entries(fields)) if (document.activeElement !== field) field.value = String(settings[name]);
    for (const field of node.querySelectorAll("select, input")) field.disabled = !view.live;
  }

  for (const field of node.querySelectorAll("select, input")) listen(field, "change", take, signal);
  return { node, paint };
}
