// Head of the widget: what it is, search, colours, the sentence that lights it up.
const LIGHT_PAUSE_MS = 350;

function picker(label, name, pick, signal) {
  const select = make("select", { class: "saew-select", "aria-label": name });
  listen(select, "change", () => pick(select.value), signal);
  return {
    node: make("label", { class: "saew-pick" }, make("span", {}, label), select),
    // Options as [value, text, disabled].
    paint(entries, value) {
      select.replaceChildren(...entries.map(([name, text, disabled]) => make("option", { value: name, disabled }, text)));
      select.value = value;
    },
  };
}

function createSentence(view) {
  const { model, signal } = view;
  const field = make("input", { class: "saew-input", type: "text", dir: "auto", placeholder: "Light up the map with a sentence", "aria-label": "Sentence that lights up the map", spellcheck: "false", autocomplete: "off" });
  const clear = button({ class: "saew-clear", title: "Put out the light", "aria-label": "Put out the light" }, icon("cross"));
  const node = make("div", { class: "saew-sentence" }, icon("bulb"), field, clear);
  let timer = null;
  signal.addEventListener("abort", () => clearTimeout(timer));
  const send = () => view.set("text", field.value.trim());
  listen(field, "input", (event) => {
    clearTimeout(timer);
    if (!event.isComposing) timer = setTimeout(send, LIGHT_PAUSE_MS);
  }, signal);
  listen(field, "keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    clearTimeout(timer);
    send();
  }, signal);
  listen(clear, "click", () => {
    clearTimeout(timer);
    field.value = "";
    send();
    field.focus();
  }, signal);
  return {
    node,
    paint() {
      const text = model.get("text");
      const can = !!view.space?.meta.can_light;
      node.hidden = !can && !view.space?.lit;
      field.readOnly = !can;
      clear.hidden = !can || !field.value;
      if (view.root.getRootNode().activeElement !== field) field.value = text;
    },
  };
}

function createHeader(view, badge) {
  const { model, signal } = view;
  const subtitle = make("p", { class: "saew-subtitle" });
  const faith = make("span", { class: "saew-faith" });
  const search = createSearch(view);
  const sentence = createSentence(view);
  const colors = picker("Colour", "What the colours show", (mode) => view.set("color_by", mode), signal);
  const node = make("header", { class: "saew-head" },
    make("div", { class: "saew-titles" }, make("div", {}, make("h3", {}, "Map of features"), subtitle), make("div", { class: "saew-tools" }, badge)),
    make("div", { class: "saew-controls" }, search.node, colors.node, sentence.node));

  return {
    node,
    search,
    sentence,
    paint() {
      const { space } = view;
      sentence.paint();
      search.paint();
      if (!space) return;
      const { trustworthiness: trust, neighbor_recall: recall } = space.meta;
      faith.textContent = [trust === null ? "" : `trustworthiness ${trust.toFixed(2)}`, recall === null ? "" : `keeps ${Math.round(100 * recall)} % of neighbours`].filter(Boolean).join(", ");
      faith.title = "How far the map can be trusted: trustworthiness is 1 when no point shown near is truly far; the second is the share of true neighbours that are near on the map too.";
      const parts = [count(space.size, "feature"), faith.textContent ? faith : null, space.meta.source].filter(Boolean);
      subtitle.replaceChildren(...parts.flatMap((part, i) => (i ? ["  ·  ", part] : [part])));
      const known = modesOf(space);
      colors.paint(Object.entries(COLOR_MODES).map(([mode, { title }]) => [mode, title, !known.includes(mode)]), view.mode());
    },
  };
}
