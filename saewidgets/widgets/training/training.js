// The training monitor: the strip, the curves, a line that says what is pointed at.
const READ_HINT = "Point at a curve, or focus it and press the arrow keys, to read its values.";

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-training", "aria-label": "Training", tabindex: "-1", "data-lm-suppress-shortcuts": "true" });
  const view = createRunView(model, root, stop.signal);
  const status = make("p", { class: "saew-unseen", role: "status", "aria-live": "polite" });
  const readout = make("p", { class: "saew-num saew-readout" });
  const strip = createStrip(view, { announce: (text) => (status.textContent = text) });
  const charts = createCharts(view, (text) => (readout.textContent = text || (view.history.size ? READ_HINT : "The curves start with the first row.")));
  const scale = button({ class: "saew-tool saew-scale", title: "Draw loss and FVU on a logarithmic axis" }, "Log scale");
  let tenth = 0;

  function paintScale() {
    scale.setAttribute("aria-pressed", String(model.get("log_scale")));
    charts.paint();
  }

  function paintRows(again) {
    if (!again) strip.heal();
    strip.paint();
    charts.paint();
    const share = (lastOf(view.history, "tokens") || 0) / (view.status.total_tokens || 1);
    if (Math.floor(10 * share) > tenth && !view.over()) status.textContent = `${percent(Math.floor(10 * share) / 10)} done, FVU ${brief(lastOf(view.history, "fvu"))}.`;
    tenth = Math.floor(10 * share);
  }

  listen(scale, "click", () => {
    model.set("log_scale", !model.get("log_scale"));
    model.save_changes();
  }, stop.signal);
  watch(model, "change:log_scale", paintScale, stop.signal);
  // The notebook's own keys (d d deletes a cell) must not act on keys meant for the widget.
  listen(root, "keydown", (event) => !event.ctrlKey && !event.metaKey && event.stopPropagation(), stop.signal);
  root.append(strip.node, charts.node, make("footer", { class: "saew-run-foot" }, readout, scale), status);
  el.append(root);
  strip.paintStatus();
  paintScale();
  followRun(view, { rows: paintRows, failed: strip.fail, status: () => {
    strip.paintStatus();
    charts.paint();
  } });
  return () => {
    stop.abort();
    root.remove();
  };
}
