// The steered-token ribbon: every token of prompt and answer, whether it was changed, asked for against read back.
const RIBBON = 64;
const BASE = 50;

function createRibbon(view) {
  const { signal } = view;
  const canvas = svgNode("svg", { class: "saew-ribbon-plot", height: RIBBON, "aria-hidden": "true" });
  const readout = make("p", { class: "saew-num saew-ribbon-say" });
  const title = make("span", { class: "saew-ribbon-title" });
  const pick = make("div", { class: "saew-choice", role: "group", "aria-label": "Feature of the ribbon", hidden: true });
  const slider = make("div", { class: "saew-ribbon-strip", role: "slider", tabindex: "0", "aria-label": "Tokens of the prompt and the steered text", "aria-valuemin": "1" }, canvas);
  const key = make("p", { class: "saew-ribbon-key" },
    make("span", { class: "saew-key" }, make("span", { class: "saew-swatch saew-swatch-read" }), "read back"),
    make("span", { class: "saew-key" }, make("span", { class: "saew-swatch saew-swatch-ask" }), "asked for"),
    make("span", { class: "saew-key" }, make("span", { class: "saew-swatch saew-swatch-not" }), "not modified"),
    make("span", { class: "saew-key" }, make("span", { class: "saew-swatch saew-swatch-sink" }), "start token, never steered"));
  const node = make("section", { class: "saew-ribbon", "aria-label": "Steered tokens" },
    make("header", {}, title, pick, readout), slider, key);
  let [row, at, column, width, drawn] = [null, null, 0, 0, null];

  const n = () => row.tokens.length;
  const cell = (i) => i * row.features.length + column;
  const x = (i) => (i / n()) * width;

  function spelled(i) {
    const part = row.split?.[i];
    const token = part ? part[2] : row.tokens[i];
    return token.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "·") || "∅";
  }

  function describe(i) {
    const [asked, read] = [row.asked[cell(i)], row.read[cell(i)]];
    const where = i < row.n_prompt ? "prompt" : "answer";
    const changed = row.skipped[i] ? "start token, never steered" : row.modified[i] ? "modified" : "not modified";
    const wanted = Number.isFinite(asked) ? `asked ${brief(asked)} × max` : "nothing asked";
    return { token: spelled(i), words: `${where}, token ${i + 1} · ${changed} · ${wanted} · reads ${Number.isFinite(read) ? `${brief(read)} × max` : "–"}` };
  }

  function draw() {
    const top = Math.max(1, ...Array.from({ length: n() }, (_, i) => Math.max(...[row.asked[cell(i)], row.read[cell(i)]].filter(Number.isFinite), 0)));
    const bottom = Math.min(0, ...Array.from({ length: n() }, (_, i) => Math.min(...[row.asked[cell(i)]].filter(Number.isFinite), 0)));
    const y = (v) => 5 + ((top - v) / (top - bottom)) * (BASE - 5);
    const gap = width / n() > 5 ? 1 : 0;
    const paths = { read: "", not: "", sink: "", ask: "", here: "" };
    for (let i = 0; i < n(); i++) {
      const [left, right] = [x(i) + gap / 2, x(i + 1) - gap / 2];
      const box = (from, to) => `M${left.toFixed(1)} ${Math.min(from, to).toFixed(1)}H${right.toFixed(1)}V${Math.max(from, to).toFixed(1)}H${left.toFixed(1)}z`;
      if (row.skipped[i]) paths.sink += box(5, BASE);
      const read = row.read[cell(i)];
      if (Number.isFinite(read) && read !== 0) paths[row.modified[i] ? "read" : "not"] += box(y(0), y(read));
      const asked = row.asked[cell(i)];
      if (Number.isFinite(asked)) paths.ask += `M${x(i).toFixed(1)} ${y(asked).toFixed(1)}H${x(i + 1).toFixed(1)}`;
      // The foot of the ribbon says plainly which tokens were changed.
      paths[row.modified[i] ? "read" : "not"] += row.skipped[i] ? "" : box(BASE + 4, BASE + 9);
    }
    const zero = svgNode("path", { class: "saew-ribbon-zero", d: `M0 ${y(0).toFixed(1)}H${width}` });
    const seam = svgNode("path", { class: "saew-ribbon-seam", d: `M${x(row.n_prompt).toFixed(1)} 0V${RIBBON}` });
    canvas.setAttribute("viewBox", `0 0 ${width} ${RIBBON}`);
    canvas.replaceChildren(zero, ...Object.entries(paths).map(([name, d]) => svgNode("path", { class: `saew-ribbon-${name}`, d })), seam);
  }

  function mark() {
    const here = canvas.querySelector(".saew-ribbon-here");
    const on = at !== null && row && at < n();
    here?.setAttribute("d", on ? `M${x(at)} 1H${x(at + 1)}V${RIBBON - 1}H${x(at)}z` : "");
    const { token, words } = on ? describe(at) : { token: "", words: row ? summary() : "The ribbon appears with the finished text." };
    readout.replaceChildren(...(on ? [make("bdi", { class: "saew-tip-token" }, token), " "] : []), words);
    if (!row) return;
    slider.setAttribute("aria-valuemax", String(n()));
    slider.setAttribute("aria-valuenow", String((at ?? 0) + 1));
    slider.setAttribute("aria-valuetext", on ? `${token}: ${words}` : words);
  }

  function summary() {
    const modified = row.modified.reduce((sum, flag) => sum + flag, 0);
    return `${modified} of ${count(n(), "token")} modified`;
  }

  function drawPick() {
    pick.hidden = row.features.length < 2;
    pick.replaceChildren(...row.features.map((feature, i) => {
      const segment = button({ class: "saew-segment", "aria-pressed": String(i === column) }, nameOf(view, feature));
      segment.addEventListener("click", () => {
        column = i;
        drawn = null;
        paint();
      });
      return segment;
    }));
    const name = row.features.length === 1 ? nameOf(view, row.features[0]) : "";
    title.textContent = name ? `Tokens · ${name}` : "Tokens";
  }

  function paint() {
    const shown = view.status.state === "writing" ? null : shownTexts(view);
    const next = shown?.steered.tokens && shown.steered.features.length ? shown.steered : null;
    width = slider.getBoundingClientRect().width;
    const now = next && width ? `${view.serial(next)} ${column} ${width}` : "";
    if (now === drawn && next === row) return;
    [row, drawn] = [next, now];
    if (row) column = Math.min(column, row.features.length - 1);
    slider.toggleAttribute("data-empty", !row);
    if (!row) {
      canvas.replaceChildren();
      title.textContent = "Tokens";
      pick.hidden = true;
    } else if (width) {
      draw();
      drawPick();
    }
    mark();
  }

  const tokenAt = (event) => Math.max(0, Math.min(n() - 1, Math.floor(((event.clientX - canvas.getBoundingClientRect().left) / width) * n())));
  const point = (i) => {
    at = i;
    mark();
  };
  listen(slider, "pointermove", (event) => row && point(tokenAt(event)), signal);
  listen(slider, "pointerdown", (event) => row && point(tokenAt(event)), signal);
  listen(slider, "pointerleave", () => point(null), signal);
  listen(slider, "blur", () => point(null), signal);
  listen(slider, "keydown", (event) => {
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const from = at ?? row.n_prompt;
    const to = { ArrowRight: from + 1, ArrowLeft: from - 1, PageUp: from - 10, PageDown: from + 10, Home: 0, End: n() - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(Math.max(0, Math.min(n() - 1, to)));
  }, signal);
  const watcher = new ResizeObserver(() => paint());
  watcher.observe(slider);
  signal.addEventListener("abort", () => watcher.disconnect());
  return { node, paint };
}
