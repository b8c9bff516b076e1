// The panel: prompt, sliders, the two texts, the tokens; and how a change spreads.
const STEER_HINT = "Switch a feature on, choose a strength, and write. Moving a slider while the model writes steers the words that follow.";
const PAGE_HINT = "A recorded page: move the slider to read what the model wrote at each strength.";

function createPanelView(model, root, signal) {
  const view = { model, root, signal, id: crypto.randomUUID?.() ?? String(Math.random()), live: model.get("_live"), status: model.get("_status"), written: null, sweeps: new Map(), compare: "steered", hand: null, own: {}, pending: false };
  const serials = new WeakMap();
  let serial = 0;
  view.serial = (row) => serials.get(row) ?? (serials.set(row, ++serial), serial);
  view.asked = createAsked(view);
  return view;
}

function stateWords(view) {
  const { status, written } = view;
  const steering = Object.entries(view.model.get("strengths")).map(([feature, strength]) => `${nameOf(view, feature)} ${strengthText(strength, view.model.get("kind"))}`).join(", ");
  if (status.state === "writing") return `Writing${steering ? ` with ${steering}` : ""}. Moving a slider steers the words that follow.`;
  if (status.state === "sweeping") return `Writing at every strength, with controls: ${Math.round(100 * status.progress)} %`;
  if (status.state === "stopped") return "Stopped.";
  if (!view.live) return view.sweeps.size ? PAGE_HINT : "A saved page.";
  return written || view.sweeps.size ? "" : STEER_HINT;
}

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-steering", "aria-label": "Steering", tabindex: "-1", "data-lm-suppress-shortcuts": "true" });
  const view = createPanelView(model, root, stop.signal);
  const unseen = make("p", { class: "saew-unseen", role: "status", "aria-live": "polite" });
  const foot = make("p", { class: "saew-status" });
  const problem = make("p", { class: "saew-problem", role: "alert", hidden: true });
  view.announce = (text) => (unseen.textContent = text);
  view.sayText = () => {
    const shown = shownTexts(view);
    if (shown) view.announce(`${KINDS_SHOWN[view.compare]} text: ${said(shown.steered.text)}`);
  };

  const turns = createTurns(view);
  const prompt = createPrompt(view);
  const settings = createSettings(view);
  const search = createSearch(view);
  const cards = createCards(view);
  const texts = createTexts(view);
  const ribbon = createRibbon(view);
  const code = createCode(view, root);
  const reset = button({ class: "saew-tool", title: "Switch every feature off and stop" }, icon("reset"), "Reset");
  listen(reset, "click", view.asked.reset, stop.signal);
  search.node.hidden = reset.hidden = !view.live;

  view.paint = () => {
    for (const part of [turns, prompt, settings, cards, texts, ribbon, code]) part.paint();
    foot.textContent = stateWords(view);
    problem.hidden = !view.status.error;
    problem.replaceChildren(...(view.status.error ? [icon("warn"), make("span", { dir: "auto" }, view.status.error)] : []));
    root.dataset.state = view.status.state;
  };

  // Pieces come up to thirty times a second, a hand moves faster: one paint a frame.
  let frame = 0;
  const soon = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      view.paint();
    });
  };
  stop.signal.addEventListener("abort", () => cancelAnimationFrame(frame));

  function receive(message, buffers) {
    if (message.to && message.to !== view.id) return;
    if (message.type === "found") return search.found(message);
    if (message.type === "text") {
      if (view.written?.run === message.run && !view.written.rows) addPieces(view.written, message);
      return soon();
    }
    const blob = collect(waiting, message, buffers);
    if (!blob) return;
    const data = unpack(blob);
    const written = readWritten(data);
    if (written && written.run >= (view.written?.run ?? 0)) view.written = written;
    for (const sweep of readSweeps(data)) view.sweeps.set(sweep.feature, sweep);
    if (message.type === "swept" && written === null) view.compare = "steered";
    root.dataset.ready = "";
    view.paint();
  }

  const waiting = new Map();
  watch(model, "msg:custom", receive, stop.signal);
  watch(model, "change:_status", () => {
    const before = view.status.state;
    view.status = model.get("_status");
    const { state, error } = view.status;
    if (state === "stopped") view.pending = false;
    if (before !== state) {
      if (state === "writing" || state === "sweeping") view.announce(stateWords(view));
      else if (state === "stopped") view.announce("Stopped.");
      else if (state === "idle" && before === "sweeping") view.announce("Sweep recorded: the slider now replays it.");
      else if (state === "idle") setTimeout(view.sayText, 50);
      else view.announce(error);
    }
    // A hand that let go after the last word was written has steered nothing yet.
    if (before === "writing" && state === "idle" && view.pending) {
      view.pending = false;
      if (shownTexts(view)?.stale && !(view.written.changed && sameStrengths(view.written.last, model.get("strengths")))) view.asked.write();
    }
    soon();
  }, stop.signal);
  for (const name of ["features", "feature", "prompt", "turns", "kind", "settings", "_labels"]) watch(model, `change:${name}`, soon, stop.signal);
  watch(model, "change:strengths", () => {
    // What comes back from the kernel while a hand is on a slider is older than the hand.
    if (view.hand !== null && !sameStrengths(view.own, model.get("strengths"))) model.set("strengths", view.own);
    else view.paint();
  }, stop.signal);
  // The notebook's own keys (d d deletes a cell) must not act on keys meant for the widget.
  listen(root, "keydown", (event) => {
    if (event.key === "Escape" && view.status.state === "writing") view.asked.stop();
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  }, stop.signal);

  root.append(
    make("header", { class: "saew-steer-head" },
      make("div", {}, make("h3", {}, "Steering"), make("p", { class: "saew-subtitle" }, model.get("_source").place)),
      make("div", { class: "saew-tools" }, code.toggle, reset, trustBadge(model, root, stop.signal))),
    make("div", { class: "saew-steer-ask" }, turns.node, prompt.node, settings.node), problem,
    make("div", { class: "saew-steer-features" }, cards.node, search.node),
    texts.node, ribbon.node, make("footer", { class: "saew-steer-foot" }, foot), unseen);
  el.append(root);
  view.paint();
  model.send({ type: "ready", view: view.id, first: true });
  return () => {
    stop.abort();
    root.remove();
  };
}
