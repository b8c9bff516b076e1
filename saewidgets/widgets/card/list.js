// All features, of which only those on screen are drawn; binary data, so 131k cost what 1k cost.
const ROW_PX = 30;
const SPARE_ROWS = 6;
const SEARCH_MS = 220;

function picker(label, names) {
  const node = make("select", { class: "saew-select", "aria-label": label }, ...names.map((name, i) => make("option", { value: String(i) }, name)));
  return node;
}

function createList(view) {
  const { signal } = view;
  const query = make("input", { class: "saew-input saew-query", type: "search", placeholder: "Filter by label or number", "aria-label": "Filter features", spellcheck: "false" });
  const density = picker("Density", DENSITIES.map(([name]) => name));
  const sort = picker("Sort by", SORTS.map(([name]) => `by ${name}`));
  const turn = button({ class: "saew-tool", "aria-label": "Reverse the order" });
  const chosen = button({ class: "saew-chip", title: "List all features again" });
  const total = make("p", { class: "saew-total", role: "status" });
  const spacer = make("div", { class: "saew-spacer" });
  const scroller = make("div", { class: "saew-all", role: "listbox", tabindex: "0", "aria-label": "Features" }, spacer);
  const node = make("aside", { class: "saew-aside", "aria-label": "All features" },
    make("div", { class: "saew-filters" }, query, make("div", { class: "saew-filter-row" }, density, sort, turn), chosen, total), scroller);
  const state = { list: null, order: new Uint32Array(0), place: new Int32Array(0), wanted: { query: "", density: 0, sort: 0, descending: false, only: null, hits: null }, generation: 0, timer: null, why: new Map() };

  const key = () => SORTS[state.wanted.sort][1];

  function shownValue(row) {
    const { list } = state;
    if (key() === "maximum") return list.maximum[row] > 0 ? brief(list.maximum[row]) : "–";
    if (key() === "score") return Number.isNaN(list.score[row]) ? "–" : list.score[row].toFixed(2);
    return list.density[row] > 0 ? percent(list.density[row]) : "never";
  }

  function drawRow(at) {
    const { list, order } = state;
    const row = order[at];
    const feature = list.feature[row];
    const current = feature === view.feature;
    const node = make("div", { class: `saew-all-row${current ? " saew-current" : ""}${list.density[row] > 0 ? "" : " saew-silent"}`, role: "option", id: `${view.id}-${feature}`, "aria-selected": String(current), "aria-posinset": String(at + 1), "aria-setsize": String(order.length), title: state.why.get(feature) },
      make("span", { class: "saew-all-number" }, String(feature)),
      make("span", { class: "saew-all-label", dir: "auto" }, list.labels[row]),
      make("span", { class: "saew-all-value" }, shownValue(row)));
    node.style.top = `${at * ROW_PX}px`;
    node.feature = feature;
    return node;
  }

  function draw() {
    if (!state.list) return;
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(state.order.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_PX) + SPARE_ROWS);
    spacer.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, i) => drawRow(first + i)));
    const row = state.list.rowOf(view.feature);
    scroller.setAttribute("aria-activedescendant", row !== undefined && state.place[row] >= first && state.place[row] < last ? `${view.id}-${view.feature}` : "");
  }

  function reorder(top = true) {
    const { list, wanted } = state;
    if (!list) return;
    state.order = orderRows(list, wanted);
    state.place = new Int32Array(list.size).fill(-1);
    state.order.forEach((row, at) => (state.place[row] = at));
    spacer.style.height = `${state.order.length * ROW_PX}px`;
    const all = list.size === list.total ? count(list.size, "feature") : `${count(list.size, "feature")} saved of ${list.total.toLocaleString("en-US")}`;
    total.textContent = state.order.length === list.size ? all : `${state.order.length.toLocaleString("en-US")} of ${all}`;
    turn.textContent = wanted.descending ? "↓" : "↑";
    turn.title = wanted.descending ? "Largest first" : "Smallest first";
    chosen.hidden = wanted.only === null;
    if (wanted.only) chosen.replaceChildren(`${count(wanted.only.length, "feature")} chosen`, icon("cross"));
    if (top) scroller.scrollTop = 0;
    draw();
    view.ordered();
  }

  function want(change) {
    Object.assign(state.wanted, change);
    reorder();
  }

  function typed() {
    clearTimeout(state.timer);
    want({ query: query.value });
    if (view.can.has("search") && query.value.trim().length > 1) {
      state.timer = setTimeout(() => view.ask("search", { generation: ++state.generation, text: query.value }), SEARCH_MS);
    }
  }

  function reveal() {
    const row = state.list?.rowOf(view.feature);
    const at = row === undefined ? -1 : state.place[row];
    if (at >= 0) {
      const top = at * ROW_PX;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top + ROW_PX > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + ROW_PX - scroller.clientHeight;
    }
    draw();
  }

  // The feature `step` places on in the list; the first one where the current is not listed.
  function beside(step) {
    const { list, order, place } = state;
    if (!list || !order.length) return null;
    const row = list.rowOf(view.feature);
    const at = row === undefined ? -1 : place[row];
    const to = at < 0 ? 0 : at + step;
    return to < 0 || to >= order.length ? null : list.feature[order[to]];
  }

  listen(query, "input", typed, signal);
  listen(density, "change", () => want({ density: Number(density.value) }), signal);
  listen(sort, "change", () => want({ sort: Number(sort.value), descending: SORTS[Number(sort.value)][2] }), signal);
  listen(turn, "click", () => want({ descending: !state.wanted.descending }), signal);
  listen(chosen, "click", () => view.set("features", null), signal);
  listen(scroller, "scroll", draw, signal);
  listen(scroller, "click", (event) => {
    const { feature } = event.target.closest(".saew-all-row") || {};
    if (feature !== undefined) view.go(feature);
  }, signal);
  listen(query, "keydown", (event) => {
    if (event.key === "Enter" && state.order.length) view.go(state.list.feature[state.order[0]]);
    else if (event.key === "ArrowDown") scroller.focus();
    else if (event.key === "Escape" && query.value) {
      query.value = "";
      typed();
    } else return;
    event.preventDefault();
  }, signal);
  listen(scroller, "keydown", (event) => {
    const page = Math.max(1, Math.floor(scroller.clientHeight / ROW_PX) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey || !state.list) return;
    event.preventDefault();
    const row = state.list.rowOf(view.feature);
    const at = row === undefined ? -1 : state.place[row];
    const to = Math.max(0, Math.min(state.order.length - 1, at < 0 ? 0 : at + step));
    if (state.order.length) view.go(state.list.feature[state.order[to]]);
  }, signal);
  const observer = new ResizeObserver(draw);
  observer.observe(scroller);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    clearTimeout(state.timer);
  });
  total.textContent = "Loading the list…";
  chosen.hidden = true;

  return {
    node,
    beside,
    reveal,
    focusQuery: () => query.focus(),
    fill(list) {
      state.list = list;
      query.placeholder = view.can.has("search") ? "Search labels and tokens, or a number" : query.placeholder;
      reorder();
      reveal();
    },
    list: () => state.list,
    only(features) {
      want({ only: features });
    },
    found({ meta, features, generation }) {
      if (generation !== state.generation || meta.query !== query.value) return;
      state.why = new Map(Array.from(features, (feature, i) => [feature, meta.why[i]]));
      want({ hits: { query: meta.query, features } });
    },
    failed(generation, message) {
      if (generation === state.generation) total.textContent = message;
    },
    random() {
      const { list, order } = state;
      // A feature that fires is worth a visit; look for one among what is listed.
      for (let tries = 0; tries < 200 && order.length; tries++) {
        const row = order[Math.floor(Math.random() * order.length)];
        if (list.density[row] > 0 && list.feature[row] !== view.feature) return list.feature[row];
      }
      return null;
    },
    relabel(feature, label) {
      const row = state.list?.rowOf(feature);
      if (row === undefined) return;
      state.list.labels[row] = label;
      state.list.lower[row] = label.toLowerCase();
      draw();
    },
  };
}
