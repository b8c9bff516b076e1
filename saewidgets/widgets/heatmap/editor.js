// Editing in place: what is typed is recomputed live, and only the newest text counts.
const PAUSE_MS = 150;

function createEditor(view) {
  const { model, signal } = view;
  const field = make("textarea", { class: "saew-field", rows: 3, dir: "auto", spellcheck: "false", "aria-label": "Text to compute" });
  const busy = make("span", { class: "saew-busy", role: "status" });
  const problem = make("p", { class: "saew-problem", role: "alert" });
  const node = make("div", { class: "saew-editor" }, field);
  const toggle = button({ class: "saew-tool saew-edit" });
  const state = { open: false, generation: 0, answered: 0, timer: null };
  problem.hidden = true;

  function paint() {
    node.hidden = !state.open;
    toggle.hidden = !model.get("_editable");
    toggle.replaceChildren(icon(state.open ? "check" : "pencil"), state.open ? "Done" : "Edit text");
    busy.textContent = state.generation > state.answered ? "computing…" : "";
    view.root.toggleAttribute("data-busy", state.generation > state.answered);
  }

  function open() {
    if (state.open || !model.get("_editable") || !view.acts) return;
    state.open = true;
    field.value = view.acts.meta.prompt;
    paint();
    field.focus();
  }

  function close() {
    state.open = false;
    paint();
    toggle.focus();
  }

  function ask() {
    state.generation += 1;
    model.send({ type: "edit", view: view.id, generation: state.generation, text: field.value });
    paint();
  }

  function complain(message) {
    problem.hidden = !message;
    problem.replaceChildren(...(message ? [icon("warn"), make("span", { dir: "auto" }, message)] : []));
  }

  listen(toggle, "click", () => (state.open ? close() : open()), signal);
  listen(field, "input", (event) => {
    clearTimeout(state.timer);
    if (!event.isComposing) state.timer = setTimeout(ask, PAUSE_MS);
  }, signal);
  listen(field, "compositionend", () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(ask, PAUSE_MS);
  }, signal);
  listen(field, "keydown", (event) => event.key === "Escape" && close(), signal);
  signal.addEventListener("abort", () => clearTimeout(state.timer));
  watch(model, "change:_editable", paint, signal);
  paint();

  return {
    node,
    toggle,
    busy,
    problem,
    open,
    // An answer to a keystroke of this view, of another view, or (null) of nobody.
    answered(editing, message) {
      const mine = editing !== null && editing.view === view.id;
      const nobodys = editing === null || editing.view === null;
      // Only the newest question is answered, so an answer to somebody else means that ours was overtaken.
      state.answered = mine ? Math.max(state.answered, editing.generation) : state.generation;
      if (state.answered === state.generation && (!message || mine || nobodys)) complain(message);
      paint();
    },
  };
}
