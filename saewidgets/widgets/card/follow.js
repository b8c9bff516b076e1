// How a change spreads through a card, and what becomes of the kernel's answers.
const DIM_MS = 120;
const AHEAD_MS = 150;

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
    list: (blob) => view.list.list() ?? view.list.fill(readList(blob)),
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
