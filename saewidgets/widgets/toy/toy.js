// The toy's panel: the run's strip, what was recovered, the disc of two dimensions, the picture of cosines, replay.
const TOY_HINT = "Point at a row, or focus the picture and press the arrow keys, to read it.";

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-toy", "aria-label": "Planted directions", tabindex: "-1", "data-lm-suppress-shortcuts": "true" });
  const view = createRunView(model, root, stop.signal);
  const store = createFrames();
  const status = make("p", { class: "saew-unseen", role: "status", "aria-live": "polite" });
  const announce = (text) => (status.textContent = text);
  const readout = make("p", { class: "saew-num saew-readout" });
  const strip = createStrip(view, { compact: true, announce });
  const words = createWords(store);
  const disc = createDisc(view, store);
  const figure = createFigure(view, store, (row, text) => {
    readout.textContent = text || TOY_HINT;
    disc.point(row);
  });
  const body = make("div", { class: "saew-toy-body", hidden: true }, disc.node, make("div", { class: "saew-toy-main" }, words.node, figure.node));
  let place = null;
  let final = false;
  let told = -1;

  function show(frame) {
    const summary = words.paint(frame, view.status.state === "waiting" && !view.history.size);
    disc.node.hidden = store.dIn !== 2;
    if (store.dIn === 2) disc.paint(frame, summary);
    figure.paint(frame, place);
    root.dataset.frame = frame.number;
    return summary;
  }

  const replay = createReplay(view, store, show, announce);

  const paint = eachFrame(() => {
    if (!store.newest) return;
    body.hidden = false;
    root.dataset.dimensions = store.dIn;
    const last = view.over() || !view.live;
    // While it trains, columns stay put as long as they can; the end sets them in order once.
    if (!last || !final) place = placeColumns(store, store.newest, last ? null : place);
    final = last;
    if (replay.paint()) return;
    const summary = show(store.newest);
    const tenth = Math.floor((10 * (lastOf(view.history, "tokens") || 0)) / (view.status.total_tokens || 1));
    if (tenth > told && told >= 0) announce(summary);
    told = tenth;
  }, stop.signal);

  // The notebook's own keys (d d deletes a cell) must not act on keys meant for the widget.
  listen(root, "keydown", (event) => !event.ctrlKey && !event.metaKey && event.stopPropagation(), stop.signal);
  readout.textContent = TOY_HINT;
  root.append(words.head, strip.node, body, replay.node, make("footer", { class: "saew-toy-foot" }, readout), status);
  el.append(root);
  strip.paintStatus();
  followRun(view, {
    failed: strip.fail,
    rows: (again) => {
      if (!again) strip.heal();
      strip.paint();
      paint();
    },
    status: () => {
      strip.paintStatus();
      paint();
    },
    extra: (blob, whole) => {
      addFrames(store, blob, whole);
      if (whole) final = false;
      paint();
    },
  });
  return () => {
    stop.abort();
    root.remove();
  };
}
