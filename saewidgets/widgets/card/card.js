// The widget: which feature is shown, how a change spreads from it, and what the kernel is asked.
const PATIENCE_MS = 6000;
const DIM_MS = 120;
const AHEAD_MS = 150;
const PAST = 200;

function createView(model, root, signal) {
  const view = { model, root, signal, id: crypto.randomUUID?.() ?? String(Math.random()), cards: createShelf(), card: null, feature: model.get("feature"), past: [], can: new Set(model.get("_can")), asked: 0 };
  view.set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  view.ask = (type, what) => model.send({ type, view: view.id, ...what });
  view.total = () => view.list?.list()?.total ?? 0;
  view.reaches = (feature) => view.cards.has(feature) || (view.can.has("load") && feature >= 0 && feature < view.total());
  view.go = (feature) => {
    if (feature !== null && feature !== view.feature && view.reaches(feature)) view.set("feature", feature);
  };
  view.beside = (step) => view.list?.beside(step) ?? null;
  view.step = (step) => view.go(view.beside(step));
  view.random = () => view.go(view.list.random());
  view.back = () => {
    const feature = view.past.pop();
    view.returning = feature !== undefined && feature !== view.feature && view.reaches(feature);
    if (view.returning) view.go(feature);
  };
  view.labelOf = (feature) => {
    const list = view.list?.list();
    const row = list?.rowOf(feature);
    return row === undefined ? undefined : list.labels[row];
  };
  view.ablate = (which, text = "") => {
    view.asked += 1;
    view.examples.overtaken(which);
    if (which !== TYPED) view.tester.part()?.overtaken();
    view.ask("ablate", { generation: view.asked, feature: view.feature, which, text });
  };
  view.interval = () => view.examples?.interval() ?? 0;
  return view;
}

function createMain(view) {
  const title = createTitle(view);
  const notes = make("div", { class: "saew-notes" });
  const silent = make("p", { class: "saew-silence" });
  const tiles = createTiles();
  const histogram = createHistogram(view, (interval) => view.examples.pick(interval));
  const logits = createLogits();
  const fires = createFiresOn();
  const relations = createRelations(view);
  const problem = make("p", { class: "saew-problem", role: "alert" });
  view.examples = createExamples(view);
  view.tester = createTester(view);
  view.marked = () => histogram.mark();
  const page = make("div", { class: "saew-page-of" }, title.node, notes, silent, tiles.node, make("div", { class: "saew-pair" }, histogram.node, logits.node), fires.node, view.tester.node, view.examples.node, relations.node);
  const node = make("div", { class: "saew-reading", tabindex: "-1" }, problem, page);
  page.hidden = problem.hidden = true;

  function paint(card) {
    title.paint(card);
    notes.replaceChildren(...card.notes.map((note) => make("p", {}, icon("warn"), make("span", {}, note))));
    silent.hidden = card.count > 0;
    silent.textContent = `This feature never fired on the ${card.n_tokens.toLocaleString("en-US")} tokens scanned: there are no examples of it. It may be dead, or rarer than the corpus is long${view.can.has("test") ? "; try a sentence of your own" : ""}.`;
    tiles.paint(card);
    view.examples.paint(card);
    histogram.paint(card);
    histogram.mark();
    logits.paint(card);
    fires.paint(card);
    relations.paint(card);
    page.hidden = false;
  }

  return {
    node,
    paint,
    title,
    relations,
    complain(message) {
      problem.hidden = !message;
      problem.replaceChildren(...(message ? [icon("warn"), make("span", {}, message)] : []));
    },
  };
}

function wire(view, main, bar, announce) {
  const { model, signal, root } = view;
  const waiting = new Map();
  let dim = null;
  let ahead = null;

  function settle() {
    clearTimeout(dim);
    root.removeAttribute("data-busy");
    bar.busy("");
  }

  function fetchAhead() {
    const near = [1, -1].map(view.beside).filter((feature) => feature !== null && !view.cards.has(feature));
    if (view.can.has("load") && near.length) view.ask("near", { features: near });
  }

  function show(moved = false) {
    const card = view.cards.get(view.feature);
    bar.paint();
    view.list.reveal();
    if (!card) {
      clearTimeout(dim);
      dim = setTimeout(() => {
        root.setAttribute("data-busy", "");
        bar.busy("loading…");
      }, DIM_MS);
      if (view.can.has("load")) view.ask("card", { feature: view.feature });
      return;
    }
    settle();
    main.complain("");
    view.hideTip();
    const held = main.node.contains(root.getRootNode().activeElement);
    view.card = card;
    main.paint(card);
    // The link that led here is gone; the keys must go on working.
    if (held && !main.node.contains(root.getRootNode().activeElement)) main.node.focus({ preventScroll: true });
    main.node.scrollTop = 0;
    // Where the page scrolls instead of the card, a link at its end must lead to the top too.
    if (moved && root.getBoundingClientRect().top < 0) root.scrollIntoView({ block: "start" });
    view.tester.moved();
    root.dataset.ready = card.feature;
    announce(`Feature ${card.feature}${card.label ? `, ${card.label}` : ""}, ${card.count ? `fires on ${percent(card.density)} of tokens` : "never fires"}`);
    clearTimeout(ahead);
    ahead = setTimeout(fetchAhead, AHEAD_MS);
  }

  function move() {
    const feature = model.get("feature");
    // Nothing chosen in a linked view: the card stays what it is.
    if (feature === null || feature === view.feature) return;
    if (!view.returning) view.past.push(view.feature);
    view.returning = false;
    if (view.past.length > PAST) view.past.shift();
    view.feature = feature;
    bar.closeList();
    show(true);
  }

  function keepCard(card) {
    const known = view.cards.has(card.feature);
    if (!known) view.cards.put(card);
    view.feature ??= card.feature;
    if (!known && card.feature === view.feature) show(view.card !== null);
  }

  function labelled(message) {
    const card = view.cards.get(message.feature);
    const { label, label_source, label_score } = message;
    view.list.relabel(message.feature, label);
    if (card) Object.assign(card, { label, label_source, label_score });
    if (!view.card) return;
    if (card === view.card) main.title.paint(card);
    main.relations.paint(view.card);
  }

  function failed({ kind, generation, feature, which, message }) {
    if (kind === "card" && feature === view.feature) {
      settle();
      main.complain(`Feature ${feature} could not be shown: ${message}`);
    } else if (kind === "test") view.tester.failed(generation, message);
    else if (kind === "ablate" && feature === view.feature) (which === TYPED ? view.tester.part() : view.examples.part(which))?.failed(message);
    else if (kind === "search") view.list.failed(generation, message);
    else if (kind === "label") main.title.failed(feature, message);
  }

  function ablated({ meta, effect }) {
    const card = view.cards.get(meta.feature);
    const typed = meta.which === TYPED;
    if (!typed && card) card.examples[meta.which].effect = effect;
    if (meta.feature !== view.feature) return;
    const part = typed ? view.tester.part() : view.examples.part(meta.which);
    if (typed) view.tester.effect(effect);
    part?.answered();
  }

  const receivers = {
    card: (blob) => keepCard(readCard(blob)),
    list: (blob) => view.list.fill(readList(blob)),
    // What a saved page holds.
    acts(blob) {
      const { cards, list } = readPage(blob);
      cards.forEach((card) => view.cards.put(card));
      view.list.fill(list);
      show();
      // Nothing else on the page could want the keys.
      root.focus({ preventScroll: true });
    },
    tested: (blob, { generation }) => {
      const found = unpack(blob);
      view.tester.tested({ meta: found.meta, examples: readExamples(found), generation });
    },
    ablated: (blob) => ablated(unpack(blob)),
    found: (blob, { generation }) => view.list.found({ ...unpack(blob), generation }),
  };

  function receive(message, buffers) {
    if (message.to && message.to !== view.id) return;
    if (message.type === "failed") return failed(message);
    if (message.type === "labelled") return labelled(message);
    const blob = collect(waiting, message, buffers);
    if (blob) receivers[message.type]?.(blob, message);
  }

  watch(model, "msg:custom", receive, signal);
  watch(model, "change:feature", move, signal);
  watch(model, "change:features", () => view.list.only(model.get("features")), signal);
  signal.addEventListener("abort", () => [dim, ahead].forEach(clearTimeout));
  view.ordered = () => bar.paint();
  view.announce = announce;
  if (model.get("features")) view.list.only(model.get("features"));
  view.ask("ready");
}

// Letters go from card to card, as in a mail program; never while somebody types.
function listenToKeys(view, main, bar) {
  const acts = { j: () => view.step(1), k: () => view.step(-1), r: view.random, b: view.back, e: main.title.open, g: bar.focusNumber, "/": view.list.focusQuery };
  listen(view.root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    // The notebook's own keys (d d deletes a cell) must not act on keys meant for the widget.
    event.stopPropagation();
    const act = event.altKey || event.target.closest("input, textarea, select") ? null : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }, view.signal);
}

// The value of a token under the pointer.
function listenToTokens(view, main, root) {
  const box = floating(root, "saew-tip", { role: "tooltip" });
  listen(main.node, "pointerover", (event) => {
    const span = event.target.closest(".saew-t");
    if (!span) return hide(box);
    const example = span.closest(".saew-example")?.example ?? view.tester.example();
    if (!example) return;
    const i = span.token;
    const effect = example.effect && span.closest("[data-effect]") ? example.effect[i] : null;
    const lines = [make("div", { class: "saew-tip-head" }, make("bdi", { class: "saew-tip-token" }, spellToken(example.tokens[i], example.split[i])))];
    lines.push(make("div", { class: "saew-tip-value" }, make("b", {}, brief(example.values[i])), make("span", {}, example.values[i] > 0 ? "activation" : "does not fire here")));
    if (example.skipped.has(i)) lines.push(make("div", { class: "saew-faint" }, "Start token or attention sink: left out."));
    if (effect !== null) lines.push(make("div", { class: "saew-tip-value" }, make("b", {}, signed(effect)), make("span", {}, Number.isFinite(effect) ? `nats: the feature ${effect >= 0 ? "helped" : "hurt"} this token` : "nothing is predicted here")));
    box.replaceChildren(...lines);
    showAt(box, span.getClientRects()[0] || span.getBoundingClientRect());
  }, view.signal);
  view.hideTip = () => hide(box);
  for (const type of ["pointerleave", "scroll"]) listen(main.node, type, view.hideTip, view.signal);
}

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-card", "aria-label": "Feature card", tabindex: "-1", "data-lm-suppress-shortcuts": "true" });
  const status = make("p", { class: "saew-unseen", role: "status", "aria-live": "polite" });
  const announce = (text) => (status.textContent = text);
  const view = createView(model, root, stop.signal);
  const bar = createBar(view, trustBadge(model, root, stop.signal));
  const main = createMain(view);
  view.list = createList(view);
  root.append(bar.node, make("div", { class: "saew-card-body" }, view.list.node, main.node), status);
  el.append(root);
  listenToKeys(view, main, bar);
  listenToTokens(view, main, root);
  bar.busy("loading…");
  wire(view, main, bar, announce);
  const timer = setTimeout(() => {
    if (!view.card) main.complain("Waiting for the kernel. If it was restarted, run this cell again.");
  }, PATIENCE_MS);
  return () => {
    clearTimeout(timer);
    stop.abort();
    root.remove();
  };
}
