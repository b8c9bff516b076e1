// Every planted direction against every feature: how often it is active, its cosines, the largest of them.
const KINDS = ["found", "partly", "lost"];
const POSITIVE = [242, 125, 22];
const NEGATIVE = [52, 120, 205];

function cosineColours() {
  const table = new Uint8ClampedArray(4 * 256);
  for (let value = -128; value < 128; value++) {
    const [r, g, b] = value >= 0 ? POSITIVE : NEGATIVE;
    table.set([r, g, b, 255 * Math.min(1, Math.abs(value) / 127) ** 1.5], 4 * (value & 255));
  }
  return new Uint32Array(table.buffer);
}

function legendOf(store) {
  const word = { found: `recovered (≥ ${store.recovered})`, partly: "partly", lost: `lost (< ${LOST})` };
  const keys = KINDS.map((kind) => make("span", { class: "saew-key" }, make("span", { class: `saew-swatch saew-${kind}` }), word[kind]));
  const ramp = make("span", { class: "saew-key" }, "cosine", make("span", { class: "saew-num" }, "−1"), make("span", { class: "saew-cosines" }), make("span", { class: "saew-num" }, "1"));
  return make("div", { class: "saew-keys" }, ramp, ...keys);
}

function createFigure(view, store, pointed) {
  const colours = cosineColours();
  const canvas = make("canvas", { class: "saew-matrix" });
  const often = createBars("saew-often", ["often"]);
  const best = createBars("saew-best", KINDS);
  const cursor = make("div", { class: "saew-row-cursor", hidden: true });
  const names = make("div", { class: "saew-row-names", "aria-hidden": "true" });
  const body = make("div", { class: "saew-figure-body", role: "slider", tabindex: "0", "aria-label": "Planted directions, the most frequent first", "aria-valuemin": "1", "aria-orientation": "vertical" }, often.node, canvas, best.node, names, cursor);
  const heads = ["how often", "cosine with each SAE feature: a diagonal means one feature for each direction", "largest cosine"];
  const node = make("div", { class: "saew-figure" }, make("div", { class: "saew-figure-heads" }, ...heads.map((text) => make("span", {}, text))), body);
  let shown = null;
  let featureAt = null;
  let row = null;

  function paintMatrix() {
    const { n, d, order } = store;
    const { frame, place } = shown;
    if (canvas.width !== d || canvas.height !== n) [canvas.width, canvas.height] = [d, n];
    const ink = canvas.getContext("2d");
    const image = ink.createImageData(d, n);
    const pixels = new Uint32Array(image.data.buffer);
    for (let y = 0; y < n; y++) {
      const [from, to] = [order[y] * d, y * d];
      for (let feature = 0; feature < d; feature++) pixels[to + place[feature]] = colours[frame.cosine[from + feature] & 255];
    }
    ink.putImageData(image, 0, 0);
    featureAt = new Int32Array(d);
    place.forEach((column, feature) => (featureAt[column] = feature));
  }

  function describe(feature) {
    const { n, d, order, frequency } = store;
    const which = order[row];
    const cosine = shown.frame.matched[which];
    const parts = [`planted direction ${which}`, `active in ${percentBrief(frequency[which])} of the samples`, `closest: SAE feature ${shown.frame.best[which]}, cosine ${cosine.toFixed(3)}`];
    if (feature !== null && feature !== shown.frame.best[which]) parts.push(`with SAE feature ${feature}: ${(shown.frame.cosine[which * d + feature] / 127).toFixed(2).replace("-", "−")}`);
    body.setAttribute("aria-valuemax", String(n));
    body.setAttribute("aria-valuenow", String(row + 1));
    body.setAttribute("aria-valuetext", parts.join(", "));
    return parts.join("  ·  ");
  }

  function point(next, feature = null) {
    row = next === null || !shown ? null : Math.max(0, Math.min(store.n - 1, next));
    cursor.hidden = row === null;
    if (row !== null) {
      cursor.style.top = `${(100 * row) / store.n}%`;
      cursor.style.height = `${100 / store.n}%`;
    }
    pointed(row, row === null ? "" : describe(feature));
  }

  listen(body, "pointermove", (event) => {
    if (!shown) return;
    const all = body.getBoundingClientRect();
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * store.d);
    point(Math.floor(((event.clientY - all.top) / all.height) * store.n), column >= 0 && column < store.d ? featureAt[column] : null);
  }, view.signal);
  listen(body, "pointerleave", () => point(null), view.signal);
  listen(body, "blur", () => point(null), view.signal);
  listen(body, "keydown", (event) => {
    const at = row ?? -1;
    const steps = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: store.n - 1, Escape: null };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    point(steps[event.key]);
  }, view.signal);

  return {
    node,
    paint(frame, place) {
      const first = !shown;
      shown = { frame, place };
      if (first) {
        node.append(legendOf(store));
        body.style.setProperty("--saew-rows", store.n);
        // More names than this would not fit beside their rows.
        if (store.n <= 24) names.replaceChildren(...Array.from(store.order, (which) => make("span", {}, String(which))));
        const most = store.frequency.reduce((a, b) => Math.max(a, b), 0) || 1;
        often.paint(store.n, (y) => store.frequency[store.order[y]] / most, () => "often", { flip: true });
      }
      paintMatrix();
      best.paint(store.n, (y) => frame.matched[store.order[y]], (y) => judge(store, frame.matched[store.order[y]]), { threshold: store.recovered });
      if (row !== null) point(row);
      else body.setAttribute("aria-valuetext", "press the arrow keys to read row by row");
    },
  };
}
