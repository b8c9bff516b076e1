// Four curves that share the token axis and the crosshair.
const CURVES = [
  { name: "loss", title: "Loss", log: true, shown: brief },
  { name: "fvu", title: "FVU", note: "(fraction of variance unexplained, lower is better)", log: true, shown: brief },
  { name: "l0", title: "L0", note: "features active on a token", reference: (status) => status.k, shown: brief },
  { name: "dead", title: "Dead features", note: "no longer firing", whole: true, shown: (value, status) => `${wholeCount(value)} · ${percent(value / status.d_sae, 1)}` },
];

function createCharts(view, readout) {
  const charts = CURVES.map((spec) => createChart(view, spec));
  const node = make("div", { class: "saew-charts", role: "slider", tabindex: "0", "aria-label": "Training curves: move through the tokens", "aria-valuemin": "0" }, ...charts.map((chart) => chart.node));
  let row = null;
  let width = 0;

  function say() {
    const { history, status } = view;
    const at = row ?? history.size - 1;
    node.setAttribute("aria-valuemax", String(lastOf(history, "tokens") || 0));
    node.setAttribute("aria-valuenow", String(at < 0 ? 0 : history.tokens[at]));
    const values = at < 0 ? [] : CURVES.map((spec) => `${spec.title} ${spec.shown(history[spec.name][at], status)}`);
    node.setAttribute("aria-valuetext", at < 0 ? "no rows yet" : `${wholeCount(history.tokens[at])} tokens: ${values.join(", ")}`);
    const parts = row === null ? [] : [`${wholeCount(history.tokens[row])} tokens`, `step ${wholeCount(history.step[row])}`, `after ${clock(history.seconds[row])}`, `${wholeCount(history.tokens_per_second[row])} tokens/s`, `learning rate ${history.lr[row].toPrecision(2)}`];
    readout(parts.join("  ·  "));
  }

  function mark(next) {
    row = next === null || !view.history.size ? null : Math.max(0, Math.min(view.history.size - 1, next));
    for (const chart of charts) chart.mark(row);
    say();
  }

  const paint = eachFrame(() => {
    width = charts[0].svg.getBoundingClientRect().width || width;
    if (!width) return;
    const end = tokenAxis(view.history, view.status, view.over());
    for (const chart of charts) chart.paint(end, width, view.model.get("log_scale"));
    mark(row);
    view.root.dataset.rows = view.history.size;
  }, view.signal);

  for (const chart of charts) {
    const follow = (event) => view.history.size && mark(rowAt(view.history, chart.tokensAt(event.clientX - chart.svg.getBoundingClientRect().left)));
    listen(chart.svg, "pointermove", follow, view.signal);
    listen(chart.svg, "pointerdown", follow, view.signal);
    listen(chart.svg, "pointerleave", () => mark(null), view.signal);
  }
  listen(node, "keydown", (event) => {
    const { size } = view.history;
    const leap = Math.max(1, Math.round(size / 100));
    const at = row ?? size - 1;
    const steps = { ArrowRight: at + leap, ArrowUp: at + leap, ArrowLeft: at - leap, ArrowDown: at - leap, PageUp: at + 10 * leap, PageDown: at - 10 * leap, Home: 0, End: size - 1, Escape: null };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    mark(steps[event.key]);
  }, view.signal);
  listen(node, "blur", () => mark(null), view.signal);
  const watcher = new ResizeObserver(paint);
  watcher.observe(node);
  view.signal.addEventListener("abort", () => watcher.disconnect());
  return { node, paint };
}
