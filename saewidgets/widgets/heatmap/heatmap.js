// The widget: one view of the model, its state, and how a change spreads from it.
const PATIENCE_MS = 6000;
const HINT = "Hover a token for its value. Click one for its features, or pick a feature in the list.";

function createView(model, root, signal) {
  const view = { model, root, signal, id: crypto.randomUUID?.() ?? String(Math.random()), acts: null, feature: null, token: null, summary: { firing: 0, top: 0 }, previous: null };
  view.set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  view.valueOf = (i) => shownValues(view.acts, view.feature)?.[i] ?? null;
  view.scalesByFeature = () => model.get("scale_by") === "feature" && !!view.acts.maxima;
  view.lastFeature = () => view.feature ?? view.previous ?? view.acts?.meta.top[0]?.[0] ?? null;
  view.describe = (i) => {
    const value = view.valueOf(i);
    const which = view.feature === null && value > 0 ? `, ${nameOf(view.acts, view.acts.strongest[i])}` : "";
    const skipped = view.acts.skipped[i] ? ", left out of the scale" : "";
    return `${spell(view.acts, i)}, position ${view.acts.position[i]}, ${value === null ? "loading" : brief(value)}${which}${skipped}`;
  };
  view.choose = (feature) => view.set("feature", feature);
  view.select = (i) => view.set("position", i === null ? null : [view.acts.text[i], view.acts.position[i]]);
  view.ask = (type, what) => model.send({ type, view: view.id, ...what });
  return view;
}

// The steps behind the colours follow feature, scale and acts; null while a column is on its way.
function colourSteps(view) {
  const values = shownValues(view.acts, view.feature);
  if (!values) return null;
  view.summary = summarize(view.acts, values);
  return stepsOf(view.acts, view.feature, values, view.scalesByFeature());
}

function wire(view, parts) {
  const { model, signal, root } = view;
  const { header, list, editor, tooltip, status } = parts;
  const waiting = new Map();

  const announce = (message) => (status.textContent = message);

  function recolour() {
    const steps = colourSteps(view);
    if (!steps) view.ask("column", { feature: view.feature });
    else view.text.recolour(steps);
    header.paint();
    list.paint();
    if (view.text.state.roving !== null) view.text.rove(view.text.state.roving);
  }

  function chooseFeature() {
    view.feature = model.get("feature");
    if (view.feature !== null) view.previous = view.feature;
    if (!view.acts) return;
    recolour();
    announce(view.feature === null ? "Strongest feature per token" : `${nameOf(view.acts, view.feature)}: fires on ${count(view.summary.firing, "token")}`);
  }

  function selectToken() {
    if (!view.acts) return;
    view.token = tokenAt(view.acts, model.get("position"));
    view.text.mark(view.token, "saew-chosen");
    if (view.token !== null) {
      view.text.rove(view.token);
      view.text.reveal(view.token);
      announce(view.describe(view.token));
      if (!listOf(view.acts, view.token)) view.ask("token", { token: view.token });
    } else announce(HINT);
    list.draw();
  }

  function redraw() {
    view.feature = model.get("feature");
    view.token = tokenAt(view.acts, model.get("position"));
    const steps = colourSteps(view);
    if (!steps) view.ask("column", { feature: view.feature });
    view.text.prepare(steps || new Uint8Array(view.acts.size));
    view.text.draw(() => {
      view.text.mark(view.token, "saew-chosen");
      if (view.token !== null) view.text.reveal(view.token);
      root.dataset.ready = view.acts.number;
    });
    if (view.token !== null && !listOf(view.acts, view.token)) view.ask("token", { token: view.token });
    header.paint();
    list.draw();
  }

  function receive(message, buffers) {
    if (message.to && message.to !== view.id) return;
    if (message.type === "failed") return editor.answered(message.editing, message.message);
    if (message.type === "acts" ? message.acts <= (view.acts?.number ?? 0) : message.acts !== view.acts?.number) return;
    const blob = collect(waiting, message, buffers);
    if (!blob) return;
    if (message.type === "acts") {
      const first = view.acts === null;
      view.acts = readActs(blob, message.acts);
      tooltip.hide();
      redraw();
      if (first) announce(HINT);
      editor.answered(message.editing, "");
    } else if (message.type === "column") {
      addColumn(view.acts, unpack(blob));
      recolour();
    } else if (message.type === "token") {
      addList(view.acts, unpack(blob));
      list.draw();
    }
  }

  watch(model, "msg:custom", receive, signal);
  watch(model, "change:feature", chooseFeature, signal);
  watch(model, "change:position", selectToken, signal);
  watch(model, "change:scale_by", () => view.acts && recolour(), signal);
  watch(model, "change:show_whitespace", () => view.acts && redraw(), signal);
  view.step = (i) => {
    view.text.focus(i);
    // Once a list is open it follows the steps.
    if (view.token !== null) view.select(i);
  };
  view.openList = (i) => {
    view.select(i);
    list.focus();
  };
  view.leaveList = () => view.text.focus(view.token ?? view.text.state.roving);
  view.announce = announce;
  view.ask("ready");
}

function listenToText(view, tooltip, editor) {
  const { text, signal } = view;
  const tokenOf = (event) => event.target.closest?.(".saew-t")?.token;
  listen(text.node, "pointerover", (event) => {
    const i = tokenOf(event);
    if (i === undefined) tooltip.hide();
    else tooltip.show(i);
  }, signal);
  listen(text.node, "pointerleave", tooltip.hide, signal);
  listen(text.node, "scroll", tooltip.hide, signal);
  listen(text.node, "focusin", (event) => {
    const i = tokenOf(event);
    if (i === undefined) return;
    tooltip.show(i);
    view.announce(view.describe(i));
  }, signal);
  listen(text.node, "focusout", tooltip.hide, signal);
  listen(text.node, "click", (event) => {
    const i = tokenOf(event);
    // Selecting text to copy is not a click on a token.
    if (i !== undefined && getSelection().isCollapsed) view.select(i);
  }, signal);
  listen(text.node, "dblclick", editor.open, signal);
  listen(text.node, "keydown", (event) => stepTokens(event, view), signal);
}

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-heatmap", "aria-label": "Token heatmap", "data-lm-suppress-shortcuts": "true" });
  const view = createView(model, root, stop.signal);
  view.text = createText(view);
  const editor = createEditor(view);
  const list = createList(view);
  const header = createHeader(view, trustBadge(model, root, stop.signal), editor.toggle);
  const tooltip = createTooltip(view, root);
  const status = make("p", { class: "saew-status", role: "status", "aria-live": "polite" }, "Loading…");
  root.append(header.node, editor.problem,
    make("div", { class: "saew-body" }, make("div", { class: "saew-main" }, editor.node, view.text.node), list.node),
    make("footer", { class: "saew-foot" }, status, editor.busy));
  // The notebook's own keys (d d deletes a cell) must not act on keys meant for the widget.
  listen(root, "keydown", (event) => !event.ctrlKey && !event.metaKey && event.stopPropagation(), stop.signal);
  el.append(root);
  listenToText(view, tooltip, editor);
  wire(view, { header, list, editor, tooltip, status });
  const timer = setTimeout(() => {
    if (!view.acts) status.textContent = "Waiting for the kernel. If it was restarted, run this cell again.";
  }, PATIENCE_MS);
  return () => {
    clearTimeout(timer);
    stop.abort();
    root.remove();
  };
}
