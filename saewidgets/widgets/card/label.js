// The card's title: the label, who wrote it, and a field to write one's own.
function createTitle(view) {
  const name = make("span", { class: "saew-name", dir: "auto" });
  const number = make("span", { class: "saew-number" });
  const edit = button({ class: "saew-tool saew-relabel", title: "Write your own label (e)" }, icon("pencil"), "Label");
  const field = make("input", { class: "saew-input", type: "text", maxlength: "300", dir: "auto", "aria-label": "Label of this feature" });
  const keep = button({ class: "saew-tool" }, icon("check"), "Keep");
  const drop = button({ class: "saew-tool" }, "Cancel");
  const form = make("form", { class: "saew-label-form" }, field, keep, drop);
  const problem = make("p", { class: "saew-wrong", role: "alert" });
  const about = make("p", { class: "saew-subtitle" });
  const heading = make("h3", {}, name, number);
  const node = make("div", { class: "saew-title" }, make("div", { class: "saew-title-row" }, heading, edit), form, problem, about);
  const state = { card: null, editing: false, sent: null };

  function paint() {
    const { card, editing } = state;
    name.textContent = card.label || `Feature ${card.feature}`;
    name.classList.toggle("saew-nameless", !card.label);
    number.textContent = card.label ? String(card.feature) : "";
    heading.hidden = edit.hidden = editing;
    form.hidden = !editing;
    edit.hidden ||= !view.can.has("label");
    problem.hidden = !problem.textContent;
    const wrote = card.label ? { you: "your label", "": null }[card.label_source] ?? (card.label_source ? `${card.label_source} label` : null) : "no label yet";
    about.textContent = [wrote, card.source].filter(Boolean).join("  ·  ");
  }

  function open() {
    if (!view.can.has("label") || !state.card || state.editing) return;
    state.editing = true;
    field.value = state.card.label;
    problem.textContent = "";
    paint();
    field.focus();
    field.select();
  }

  function close() {
    const inside = form.contains(form.getRootNode().activeElement);
    state.editing = false;
    paint();
    if (inside) edit.focus();
  }

  function send() {
    const text = field.value.trim();
    if (text !== state.card.label) {
      state.sent = { feature: state.card.feature, text, before: state.card.label, source: state.card.label_source };
      state.card.label = text;
      state.card.label_source = text ? "you" : "";
      view.ask("label", { feature: state.card.feature, text });
    }
    close();
  }

  listen(edit, "click", open, view.signal);
  listen(heading, "dblclick", open, view.signal);
  listen(keep, "click", send, view.signal);
  listen(drop, "click", close, view.signal);
  listen(form, "submit", (event) => {
    event.preventDefault();
    send();
  }, view.signal);
  listen(field, "keydown", (event) => event.key === "Escape" && close(), view.signal);

  return {
    node,
    open,
    paint(card) {
      if (state.card !== card) {
        state.editing = false;
        problem.textContent = "";
      }
      state.card = card;
      paint();
    },
    // The label could not be kept: the old one stands again, and the reader's words are not lost.
    failed(feature, message) {
      const { card, sent } = state;
      const known = view.cards.get(feature);
      if (known && sent?.feature === feature) Object.assign(known, { label: sent.before, label_source: sent.source });
      if (card?.feature !== feature) return view.announce(message);
      open();
      if (sent?.feature === feature) field.value = sent.text;
      problem.textContent = message;
      paint();
    },
  };
}
