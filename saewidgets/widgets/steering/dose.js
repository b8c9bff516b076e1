// Dose and response: what each strength does to the model and what it costs, on the slider's own axis.
const PLOT = 38;
const RISE = 5;
const MEASURES = [
  { name: "readback", title: "Read-back", hint: "The feature as the SAE reads it from the steered residual, mean over the text; dotted: what was asked for", shown: (value) => `${brief(value)} × max` },
  { name: "kl", title: "KL", hint: "How far the next-token predictions are from the bare model's, nats a token", shown: (value) => `${brief(value)} nats` },
  { name: "perplexity", title: "Perplexity", hint: "Of the text under the bare model; dotted: bare, dashed: twice bare", log: true, limit: (bare) => 2 * bare, shown: (value, bare) => `${brief(value)}${bare ? ` · bare ${brief(bare)}` : ""}` },
  { name: "repetition", title: "Repetition", hint: "Share of three-word runs that occurred before; dotted: bare, dashed: bare + 0.1", limit: (bare) => bare + 0.1, shown: (value, bare) => `${brief(value)}${Number.isFinite(bare) ? ` · bare ${brief(bare)}` : ""}` },
];
const CONTROLS = [
  { kind: "random", title: "random direction", mark: (x, y) => `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0` },
  { kind: "control", title: "control feature", mark: (x, y) => `M${x} ${y - 3.6}l3.6 3.6l-3.6 3.6l-3.6 -3.6z` },
];

function tooFar(sweep, row) {
  const bare = nearestRow(sweep, "bare", 0);
  return !!bare && (row.perplexity > 2 * bare.perplexity || row.repetition > bare.repetition + 0.1);
}

function createPlot(view, measure) {
  const svg = svgNode("svg", { class: "saew-dose-plot", height: PLOT, "aria-hidden": "true" });
  const [spot, axis, asked, bareLine, limitLine, here] = ["spot", "axis", "asked", "bare", "limit", "here"].map((name) => svgNode("path", { class: `saew-dose-${name}` }));
  const others = CONTROLS.map((control) => [svgNode("path", { class: `saew-dose-line saew-dose-${control.kind}` }), svgNode("path", { class: `saew-dose-marks saew-dose-${control.kind}` })]);
  const line = svgNode("path", { class: "saew-dose-line saew-dose-steered" });
  const dots = svgNode("g");
  svg.append(spot, axis, asked, bareLine, limitLine, ...others.flat(), line, dots, here);
  const name = make("span", { class: "saew-dose-name", title: measure.hint }, measure.title);
  const value = make("span", { class: "saew-num saew-dose-value" });
  let place = null;

  function scale(sweep, width, [low, high]) {
    const values = sweep.rows.filter((row) => row.kind !== "prompt").map((row) => row[measure.name]).filter((v) => v !== null && (!measure.log || v > 0));
    const bare = nearestRow(sweep, "bare", 0)?.[measure.name] ?? null;
    let [bottom, top] = [Math.min(...values, measure.log ? Infinity : 0), Math.max(...values, measure.log ? -Infinity : 0)];
    if (measure.log && bare) top = Math.max(top, 2.4 * bare);
    else top = Math.max(top, measure.limit && bare !== null ? 1.15 * measure.limit(bare) : 0);
    if (!(top > bottom)) top = bottom + 1;
    const f = measure.log ? Math.log : (v) => v;
    return {
      bare, bottom, top,
      x: (strength) => KNOB / 2 + ((strength - low) / (high - low)) * (width - KNOB),
      y: (v) => PLOT - RISE - ((f(v) - f(bottom)) / (f(top) - f(bottom))) * (PLOT - 2 * RISE),
      drawn: (row) => row.strength !== null && row[measure.name] !== null && (!measure.log || row[measure.name] > 0),
    };
  }

  const joined = (rows) => rows.map((row, i) => `${i ? "L" : "M"}${place.x(row.strength).toFixed(1)} ${place.y(row[measure.name]).toFixed(1)}`).join("");
  const sorted = (sweep, kind) => rowsOf(sweep, kind).filter(place.drawn).sort((a, b) => a.strength - b.strength);

  function drawSteered(sweep) {
    const rows = sorted(sweep, "steered");
    line.setAttribute("d", joined(rows));
    dots.replaceChildren(...rows.map((row) => {
      const [x, y] = [place.x(row.strength), place.y(row[measure.name])];
      // A cross, not only a colour, where the text has left the limits.
      if (tooFar(sweep, row)) return svgNode("path", { class: "saew-dose-far", d: `M${x - 2.6} ${y - 2.6}l5.2 5.2M${x - 2.6} ${y + 2.6}l5.2 -5.2` });
      return svgNode("circle", { class: "saew-dose-dot", cx: x.toFixed(1), cy: y.toFixed(1), r: 2.6 });
    }));
  }

  return {
    nodes: [name, svg, value],
    svg,
    draw(sweep, width, limits) {
      svg.setAttribute("viewBox", `0 0 ${width} ${PLOT}`);
      place = scale(sweep, width, limits);
      const across = (v) => (v === null || !Number.isFinite(place.y(v)) ? "" : `M0 ${place.y(v).toFixed(1)}H${width}`);
      axis.setAttribute("d", `M${place.x(0).toFixed(1)} 0V${PLOT}`);
      bareLine.setAttribute("d", measure.limit ? across(place.bare) : "");
      limitLine.setAttribute("d", measure.limit && place.bare !== null ? across(measure.limit(place.bare)) : "");
      // Only as far as the plot reaches: what comes back may be far from what was asked for.
      const strengths = measure.name === "readback" && sweep.kind === "clamp" ? sorted(sweep, "steered").map((row) => row.strength) : [];
      const ends = [Math.max(Math.min(...strengths), place.bottom), Math.min(Math.max(...strengths), place.top)];
      const ask = ends[0] < ends[1] ? ends.map((strength) => ({ strength, readback: strength })) : [];
      asked.setAttribute("d", joined(ask));
      CONTROLS.forEach(({ kind, mark }, i) => {
        const rows = sorted(sweep, kind);
        others[i][0].setAttribute("d", rows.length > 1 ? joined(rows) : "");
        others[i][1].setAttribute("d", rows.map((row) => mark(place.x(row.strength), place.y(row[measure.name]))).join(""));
      });
      const sweet = sweep.sweet_spot;
      spot.setAttribute("d", sweet === null ? "" : `M${place.x(sweet) - 9} 0h18V${PLOT}h-18z`);
      drawSteered(sweep);
    },
    point(strength, row) {
      here.setAttribute("d", strength === null ? "" : `M${place.x(strength).toFixed(1)} 0V${PLOT}`);
      const number = row?.[measure.name] ?? null;
      value.textContent = number === null ? "–" : measure.shown(number, place.bare);
    },
  };
}

function createDose(view, feature, dial, signal) {
  const plots = MEASURES.map((measure) => createPlot(view, measure));
  const sweet = button({ class: "saew-sweet" });
  const note = make("p", { class: "saew-dose-note" });
  const key = make("p", { class: "saew-dose-key" });
  const foot = make("div", { class: "saew-dose-foot" }, note, sweet, key);
  const node = make("div", { class: "saew-dose", hidden: true }, ...plots.flatMap((plot) => plot.nodes), foot);
  let [width, drawn] = [0, null];

  function strengthAt(event) {
    const box = plots[0].svg.getBoundingClientRect();
    const [low, high] = view.asked.limits();
    return low + ((event.clientX - box.left - KNOB / 2) / (box.width - KNOB)) * (high - low);
  }

  for (const plot of plots) {
    listen(plot.svg, "pointerdown", (event) => {
      plot.svg.setPointerCapture(event.pointerId);
      dial.set(strengthAt(event));
    }, signal);
    listen(plot.svg, "pointermove", (event) => event.buttons && dial.set(strengthAt(event)), signal);
    for (const type of ["pointerup", "pointercancel"]) listen(plot.svg, type, dial.release, signal);
  }
  listen(sweet, "click", () => {
    dial.set(drawn.sweet_spot);
    dial.release();
  }, signal);

  function drawKey(sweep) {
    const entries = CONTROLS.filter(({ kind }) => rowsOf(sweep, kind).length).map(({ kind, title, mark }) => {
      const swatch = svgNode("svg", { class: "saew-key-mark", viewBox: "0 0 10 10", "aria-hidden": "true" });
      swatch.append(svgNode("path", { class: `saew-dose-marks saew-dose-${kind}`, d: mark(5, 5) }));
      return make("span", { class: "saew-key" }, swatch, kind === "control" && sweep.control_feature !== null ? `${title} ${sweep.control_feature}` : title);
    });
    const far = svgNode("svg", { class: "saew-key-mark", viewBox: "0 0 10 10", "aria-hidden": "true" });
    far.append(svgNode("path", { class: "saew-dose-far", d: "M2.4 2.4l5.2 5.2M2.4 7.6l5.2 -5.2" }));
    const steered = svgNode("svg", { class: "saew-key-mark", viewBox: "0 0 10 10", "aria-hidden": "true" });
    steered.append(svgNode("circle", { class: "saew-dose-dot", cx: 5, cy: 5, r: 2.8 }));
    key.replaceChildren(make("span", { class: "saew-key" }, steered, "this feature"), make("span", { class: "saew-key" }, far, "perplexity over 2 × bare or repetition over bare + 0.1"), ...entries);
  }

  function draw(sweep) {
    if (drawn === sweep || !width) return;
    drawn = sweep;
    for (const plot of plots) plot.draw(sweep, width, view.asked.limits());
    drawKey(sweep);
    sweet.hidden = sweep.sweet_spot === null;
    sweet.textContent = sweep.sweet_spot === null ? "" : `Sweet spot ${strengthText(sweep.sweet_spot, sweep.kind)}`;
  }

  function words(sweep, row) {
    if (sweep.sweet_spot === null && !row) return "No sweet spot: no strength has an effect within the limits.";
    if (!row) return "";
    const leaves = row.first_divergence === null ? "the text is the bare one" : `leaves the bare text at token ${row.first_divergence + 1}`;
    const promoted = row.delta_logprob === null || !sweep.promoted.length ? "" : ` · log p of ${sweep.promoted.slice(0, 3).map((token) => `“${token.trim()}”`).join(", ")}… ${signed(row.delta_logprob)}`;
    return `${sweep.sweet_spot === null ? "No sweet spot within the limits · " : ""}${leaves}${promoted}`;
  }

  const watcher = new ResizeObserver(() => {
    const now = plots[0].svg.getBoundingClientRect().width;
    if (!now || now === width) return;
    width = now;
    drawn = null;
    paint();
  });
  watcher.observe(node);
  signal.addEventListener("abort", () => watcher.disconnect());

  function paint() {
    const sweep = sweepOf(view, feature);
    node.hidden = !sweep;
    if (!sweep) return;
    width ||= plots[0].svg.getBoundingClientRect().width;
    if (!width) return;
    draw(sweep);
    const strength = view.asked.strength(feature);
    const kind = ["random", "control"].includes(view.compare) ? view.compare : "steered";
    const row = strength === null ? null : nearestRow(sweep, kind, strength) || nearestRow(sweep, "steered", strength);
    for (const plot of plots) plot.point(strength, row);
    note.textContent = words(sweep, row);
  }

  return { node, paint };
}
