// One curve over tokens, drawn as SVG so that it follows the theme.
const HEIGHT = 148;
const MARGIN = { left: 42, right: 12, top: 10, bottom: 22 };

function label(text, x, y, anchor) {
  return svgNode("text", { x, y, "text-anchor": anchor }, text);
}

// `spec`: name, title, note, log (may be), whole (counts), reference(status), shown(value, status).
function createChart(view, spec) {
  const value = make("span", { class: "saew-num saew-now" });
  const svg = svgNode("svg", { class: "saew-plot", height: HEIGHT, "aria-hidden": "true" });
  const grid = svgNode("g", { class: "saew-grid" });
  const [band, line, goal] = ["saew-band", "saew-line-mean", "saew-goal"].map((name) => svgNode("path", { class: name }));
  const tip = svgNode("circle", { class: "saew-tip-dot", r: 3.5 });
  const cross = svgNode("path", { class: "saew-cross" });
  const dot = svgNode("circle", { class: "saew-dot", r: 4 });
  // A curve that leaves the plot at the top is cut there, in an element of its own that clips.
  const plot = svgNode("svg", { y: MARGIN.top, height: HEIGHT - MARGIN.top, viewBox: "0 0 1 1", overflow: "hidden" });
  plot.append(goal, band, line, tip);
  svg.append(grid, plot, cross, dot);
  const node = make("div", { class: `saew-chart saew-of-${spec.name}` },
    make("div", { class: "saew-chart-head" }, make("h4", {}, spec.title, spec.note ? make("span", { class: "saew-faint" }, ` ${spec.note}`) : null), value), svg);
  let frame = null;

  const x = (tokens) => MARGIN.left + (tokens / frame.end) * (frame.width - MARGIN.left - MARGIN.right);
  function y(number) {
    const { low, high, log } = frame;
    const share = log ? Math.log(Math.max(number, low) / low) / Math.log(high / low) : (number - low) / (high - low);
    return HEIGHT - MARGIN.bottom - Math.max(-0.02, Math.min(3, share)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }
  const place = (tokens, number) => `${x(tokens).toFixed(1)} ${y(number).toFixed(1)}`;

  function paintGrid() {
    const { low, high, log, width, end } = frame;
    const marks = [];
    const ticks = log ? logTicks(low, high) : ticksOf(low, high, 4).filter((tick) => !spec.whole || Number.isInteger(tick));
    for (const tick of ticks) {
      marks.push(svgNode("path", { d: `M${MARGIN.left} ${y(tick).toFixed(1)}H${width - MARGIN.right}` }), label(shortCount(tick), MARGIN.left - 7, y(tick) + 3.5, "end"));
    }
    for (const tick of ticksOf(0, end, Math.max(2, width / 110))) {
      const at = x(tick);
      marks.push(label(shortCount(tick), at, HEIGHT - 6, at > width - 26 ? "end" : "middle"));
    }
    grid.replaceChildren(...marks);
  }

  function paintCurve(buckets) {
    const shown = frame.log ? buckets.filter((bucket) => bucket.low > 0) : buckets;
    line.setAttribute("d", shown.map((b, i) => `${i ? "L" : "M"}${place(b.x, b.sum / b.count)}`).join(""));
    const above = shown.map((b, i) => `${i ? "L" : "M"}${place(b.x, b.high)}`);
    const below = shown.map((b) => `L${place(b.x, b.low)}`).reverse();
    band.setAttribute("d", shown.some((b) => b.count > 1) ? [...above, ...below, "Z"].join("") : "");
    const end = shown[shown.length - 1];
    tip.toggleAttribute("hidden", !end);
    if (end) {
      tip.setAttribute("cx", x(end.x).toFixed(1));
      tip.setAttribute("cy", y(end.sum / end.count).toFixed(1));
    }
    const entry = shown.find((b) => b.high <= frame.high);
    if (Number.isFinite(frame.cut) && entry) grid.append(label(`↑ ${brief(frame.cut)} at first`, x(entry.x) + 10, MARGIN.top + 8, "start"));
    const wanted = spec.reference?.(view.status);
    goal.setAttribute("d", wanted ? `M${MARGIN.left} ${y(wanted).toFixed(1)}H${frame.width - MARGIN.right}` : "");
  }

  return {
    node,
    svg,
    tokensAt: (px) => (frame ? Math.max(0, (px - MARGIN.left) / (frame.width - MARGIN.left - MARGIN.right)) * frame.end : 0),
    paint(end, width, wantsLog) {
      const { history } = view;
      const log = wantsLog && !!spec.log;
      const buckets = thin(history.tokens, history[spec.name], history.size, end, width);
      frame = { end, width, log, ...valueAxis(buckets, log, spec.reference?.(view.status) || (spec.whole ? 4 : 0)) };
      svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      plot.setAttribute("viewBox", `0 ${MARGIN.top} ${width} ${HEIGHT - MARGIN.top}`);
      plot.setAttribute("width", width);
      paintGrid();
      paintCurve(buckets);
    },
    // Marks a row, or none; the heading says its value, or the newest.
    mark(row) {
      const { history } = view;
      const at = row ?? history.size - 1;
      value.textContent = at >= 0 ? spec.shown(history[spec.name][at], view.status) : "–";
      const marked = row !== null && frame && Number.isFinite(history[spec.name][row]);
      cross.setAttribute("d", row !== null && frame ? `M${x(history.tokens[row]).toFixed(1)} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}` : "");
      dot.toggleAttribute("hidden", !marked);
      if (!marked) return;
      dot.setAttribute("cx", x(history.tokens[row]).toFixed(1));
      dot.setAttribute("cy", y(history[spec.name][row]).toFixed(1));
    },
  };
}
