// Examples as a concordance: the strongest, or from each interval between 0 and the maximum.
const FIRST = 10;

function createExamples(view) {
  const strongest = button({ class: "saew-segment" });
  const range = button({ class: "saew-segment" });
  const one = button({ class: "saew-chip", title: "Show all intervals" });
  const list = make("div", { class: "saew-examples" });
  const more = button({ class: "saew-more" });
  const none = make("p", { class: "saew-none" });
  const node = make("section", { class: "saew-part-of", "aria-label": "Examples" },
    make("div", { class: "saew-part-head" }, make("h4", {}, "Examples"),
      make("div", { class: "saew-choice", role: "group", "aria-label": "Which examples" }, strongest, range), one), list, more, none);
  // interval: 0 = strongest, null = all intervals.
  const state = { card: null, interval: 0, all: false, opened: new Map() };

  function heading(card, interval) {
    const [low, high] = [interval - 1, interval].map((edge) => brief((edge * card.maximum) / card.intervals));
    const share = [interval - 1, interval].map((edge) => Math.round((100 * edge) / card.intervals));
    return make("h5", { class: "saew-interval-head" }, `Interval ${interval}`, make("span", { class: "saew-faint saew-num" }, `${low} to ${high}  ·  ${share[0]}–${share[1]} % of the maximum`));
  }

  function drawExample(card, example, nth) {
    const value = example.values[example.position];
    const toggle = button({ class: "saew-open", "aria-expanded": "false", tabindex: nth ? "-1" : "0",
      "aria-label": `Activation ${brief(value)}: ${example.tokens.slice(Math.max(0, example.position - 8), example.position + 9).join("")}` },
      make("span", { class: "saew-num" }, brief(value)));
    const row = make("div", { class: "saew-example" }, toggle, drawLine(example, card.maximum));
    row.example = example;
    return row;
  }

  function open(row, opened) {
    const { example } = row;
    row.querySelector(".saew-open").setAttribute("aria-expanded", String(opened));
    row.querySelector(".saew-opened")?.remove();
    row.toggleAttribute("data-open", opened);
    state.opened.delete(example.which);
    if (!opened) return;
    const ask = view.can.has("ablate") && example.runs ? (about) => view.ablate(about.which) : null;
    const part = createOpened(example, state.card.maximum, ask, view.announce);
    state.opened.set(example.which, part);
    row.append(part.node);
  }

  function draw() {
    const { card, interval, all } = state;
    const pool = interval === 0 ? card.strongest : card.drawn.filter((example) => interval === null || example.interval === interval);
    const shown = all || interval !== 0 ? pool : pool.slice(0, FIRST);
    const rows = [];
    let last = 0;
    shown.forEach((example, nth) => {
      if (interval !== 0 && example.interval !== last) rows.push(heading(card, (last = example.interval)));
      rows.push(drawExample(card, example, nth));
    });
    state.opened.clear();
    list.replaceChildren(...rows);
    more.hidden = shown.length === pool.length;
    more.textContent = `Show ${pool.length - shown.length} more`;
    none.hidden = pool.length > 0;
    none.textContent = interval ? `No token of the corpus fell into interval ${interval}, or none was kept.` : "No examples were kept.";
    strongest.textContent = `Strongest ${card.strongest.length}`;
    range.textContent = "Across the range";
    strongest.setAttribute("aria-pressed", String(interval === 0));
    range.setAttribute("aria-pressed", String(interval !== 0));
    one.hidden = !interval;
    one.replaceChildren(`Interval ${interval}`, icon("cross"));
    view.marked(interval);
  }

  function pick(interval) {
    Object.assign(state, { interval, all: false });
    draw();
  }

  const { signal } = view;
  listen(strongest, "click", () => pick(0), signal);
  listen(range, "click", () => pick(null), signal);
  listen(one, "click", () => pick(null), signal);
  listen(more, "click", () => {
    state.all = true;
    draw();
    list.querySelectorAll(".saew-open")[FIRST]?.focus();
  }, signal);
  listen(list, "click", (event) => {
    const row = event.target.closest(".saew-example");
    // Selecting text to copy, or pointing into what is open, closes nothing.
    if (!row || event.target.closest(".saew-opened") || !getSelection().isCollapsed) return;
    open(row, !row.hasAttribute("data-open"));
  }, signal);
  listen(list, "keydown", (event) => stepDown(event, [...list.querySelectorAll(".saew-open")]), signal);

  return {
    node,
    list,
    pick,
    interval: () => state.interval,
    paint(card) {
      node.hidden = !card.examples.length && !card.count;
      Object.assign(state, { card, interval: 0, all: false });
      draw();
    },
    part: (which) => state.opened.get(which),
    overtaken: (which) => state.opened.forEach((part, other) => other !== which && part.overtaken()),
  };
}

// Arrow keys go from one of `stops` to the next; only one of them can be reached by Tab.
function stepDown(event, stops) {
  const at = stops.indexOf(event.target);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: stops.length - 1 }[event.key];
  if (at < 0 || to === undefined || !stops[to]) return;
  event.preventDefault();
  stops[at].tabIndex = -1;
  stops[to].tabIndex = 0;
  stops[to].focus();
}
