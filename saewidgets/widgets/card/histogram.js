// How strongly the feature fires: tokens by activation on a logarithmic scale, and the eleven intervals to pick from.
const TALL = 132;
const EDGE = { left: 34, right: 10, top: 8, bottom: 18 };
// Bins thinner than this on screen are drawn together.
const THIN = 2;

// Bins have unequal widths, so height is a density: tokens in a stretch as wide as one interval.
function barsOf(card, width) {
  const step = card.maximum / card.intervals;
  const scale = width / card.maximum;
  const bars = [];
  card.histogram.forEach((count, i) => {
    const high = Math.min(card.edges[i + 1], card.maximum);
    const low = Math.min(Math.max(0, card.edges[i]), high);
    if (!(high > low) || !count) return;
    const last = bars[bars.length - 1];
    const close = last && (last.high - last.low) * scale < THIN && (low - last.high) * scale < THIN;
    if (close) Object.assign(last, { high, count: last.count + count });
    else bars.push({ low, high, count });
  });
  const [before, last] = bars.slice(-2);
  // The maximum cuts the last bin short: a sliver would stand as high as a tower.
  if (last && last.high - last.low < (before.high - before.low) / 2) {
    bars.pop();
    Object.assign(before, { high: last.high, count: before.count + last.count });
  }
  return bars.map((bar) => ({ ...bar, tall: (bar.count / (bar.high - bar.low)) * step }));
}

function createHistogram(view, pick) {
  const svg = svgNode("svg", { class: "saew-histogram", height: TALL, role: "img" });
  const buttons = make("div", { class: "saew-intervals", role: "group", "aria-label": "Examples from an interval" });
  const said = make("p", { class: "saew-hist-said saew-num" });
  const node = make("section", { class: "saew-panel saew-hist", "aria-label": "Activations" },
    make("h4", {}, "Activations", make("span", { class: "saew-faint" }, " where it fires, log scale")), svg, buttons, said);
  const state = { card: null, width: 0 };

  function grid(top, low, x) {
    const marks = [];
    const y = (tall) => EDGE.top + (1 - Math.log(tall / low) / Math.log(top / low)) * (TALL - EDGE.top - EDGE.bottom);
    const decades = Math.ceil(Math.log10(top / low) / 3);
    for (let power = Math.ceil(Math.log10(low)); 10 ** power <= top; power += decades) {
      const at = y(10 ** power).toFixed(1);
      marks.push(svgNode("path", { class: "saew-hist-line", d: `M${EDGE.left} ${at}H${state.width - EDGE.right}` }));
      marks.push(svgNode("text", { x: EDGE.left - 6, y: Number(at) + 3.5, "text-anchor": "end" }, short(10 ** power)));
    }
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const anchor = share === 1 ? "end" : share ? "middle" : "start";
      marks.push(svgNode("text", { x: x(share * state.card.maximum).toFixed(1), y: TALL - 3, "text-anchor": anchor }, brief(share * state.card.maximum)));
    }
    return { marks, y };
  }

  function paint() {
    const { card } = state;
    const width = svg.clientWidth || svg.parentElement?.clientWidth || 0;
    if (!card?.count || !width) return;
    state.width = width;
    const inner = width - EDGE.left - EDGE.right;
    const x = (value) => EDGE.left + (value / card.maximum) * inner;
    const bars = barsOf(card, inner);
    const talls = bars.map((bar) => bar.tall);
    const top = Math.max(10, ...talls) * 1.25;
    const low = Math.min(1, ...talls) * 0.6;
    const { marks, y } = grid(top, low, x);
    const interval = view.interval();
    const picked = interval ? [svgNode("rect", { class: "saew-hist-picked", x: x(((interval - 1) * card.maximum) / card.intervals), width: inner / card.intervals, y: EDGE.top, height: TALL - EDGE.top - EDGE.bottom })] : [];
    const drawn = bars.map((bar) => {
      const rect = svgNode("rect", { class: "saew-hist-bar", x: x(bar.low).toFixed(2), width: Math.max(0.8, x(bar.high) - x(bar.low) - 0.6).toFixed(2), y: y(bar.tall).toFixed(2), height: Math.max(1, TALL - EDGE.bottom - y(bar.tall)).toFixed(2) });
      rect.bar = bar;
      return rect;
    });
    const ticks = Array.from({ length: card.intervals + 1 }, (_, i) => svgNode("path", { class: "saew-hist-tick", d: `M${x((i * card.maximum) / card.intervals).toFixed(1)} ${TALL - EDGE.bottom}v4` }));
    svg.setAttribute("viewBox", `0 0 ${width} ${TALL}`);
    svg.replaceChildren(...picked, ...marks, ...drawn, ...ticks);
  }

  function drawButtons() {
    const { card } = state;
    buttons.replaceChildren(...Array.from({ length: card.intervals }, (_, i) => {
      const has = card.drawn.filter((example) => example.interval === i + 1).length;
      const [low, high] = [i, i + 1].map((edge) => brief((edge * card.maximum) / card.intervals));
      const node = button({ class: "saew-interval", "aria-label": `Interval ${i + 1}, ${low} to ${high}: ${count(has, "example")}`, title: `${low} to ${high}: ${count(has, "example")}` }, String(i + 1));
      node.disabled = !has;
      node.interval = i + 1;
      return node;
    }));
  }

  const SAID = "Pick an interval to read examples from it.";
  listen(buttons, "click", (event) => {
    const chosen = event.target.closest("button")?.interval;
    if (chosen) pick(chosen === view.interval() ? 0 : chosen);
  }, view.signal);
  listen(svg, "pointermove", (event) => {
    const { bar } = event.target;
    said.textContent = bar ? `${count(bar.count, "token")} from ${brief(bar.low)} to ${brief(bar.high)}` : SAID;
  }, view.signal);
  listen(svg, "pointerleave", () => (said.textContent = SAID), view.signal);
  const observer = new ResizeObserver(() => svg.clientWidth !== state.width && paint());
  observer.observe(svg);
  view.signal.addEventListener("abort", () => observer.disconnect());

  return {
    node,
    paint(card) {
      state.card = card;
      node.hidden = !card.count;
      if (!card.count) return;
      said.textContent = SAID;
      svg.setAttribute("aria-label", `Histogram of ${count(card.count, "activation")} from 0 to ${brief(card.maximum)}, mean ${brief(card.mean)}`);
      drawButtons();
      paint();
    },
    mark() {
      for (const node of buttons.children) node.setAttribute("aria-pressed", String(node.interval === view.interval()));
      paint();
    },
  };
}
