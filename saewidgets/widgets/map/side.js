// The list beside the map: clusters, hits, a selection, what a sentence lit, or a neighbourhood.
const LIST_ROWS = 200;

function createSide(view) {
  const { signal } = view;
  const heading = make("h4", { class: "saew-list-head", dir: "auto" });
  const back = button({ class: "saew-back" }, icon("back"), "Back");
  const card = createCard(view);
  const list = make("ol", { class: "saew-rows", "aria-label": "List beside the map" });
  const node = make("aside", { class: "saew-side" }, make("div", { class: "saew-side-top" }, heading, back), card.node, list);
  listen(back, "click", () => view.closePanel(), signal);
  listen(list, "click", (event) => act(event.target.closest("button")), signal);
  listen(list, "pointerover", (event) => view.point(event.target.closest("button")?.feature ?? null, event.target.closest("button")?.cluster ?? null, false), signal);
  listen(list, "pointerleave", () => view.point(null), signal);
  listen(list, "focusin", (event) => view.point(event.target.feature ?? null, event.target.cluster ?? null, false), signal);
  listen(list, "keydown", (event) => stepList(event, list, view), signal);

  function act(row) {
    if (!row) return;
    if (row.cluster) view.visit(row.cluster);
    else view.choose(row.feature);
  }

  const panels = {
    near: () => ["Neighbourhood", nearRows(view)],
    hits: () => [`${view.hits.length === MOST_HITS ? `First ${MOST_HITS}` : count(view.hits.length, "hit")} for “${shorten(view.query, 24)}”`, featureRows(view, view.hits, "No feature matches. Try a shorter word, a token or a number.")],
    selection: () => [`${view.features.length.toLocaleString("en-US")} selected`, featureRows(view, view.features, "")],
    lit: () => ["Strongest on your sentence", featureRows(view, view.space.lit.features, "No feature fires on this sentence.", litDetail)],
    clusters: () => ["Largest clusters", clusterRows(view)],
  };

  return {
    node,
    draw() {
      const [title, rows] = panels[view.panel]();
      heading.replaceChildren(title);
      back.hidden = view.panel === "clusters";
      card.draw();
      list.replaceChildren(...rows.slice(0, LIST_ROWS));
      if (rows.length > LIST_ROWS) list.append(make("li", { class: "saew-none" }, `… and ${(rows.length - LIST_ROWS).toLocaleString("en-US")} more`));
      list.scrollTop = 0;
    },
    focus: () => list.querySelector("button")?.focus(),
  };
}

function featureRow(view, feature, value, detail, extra = {}) {
  const { space } = view;
  const label = space.meta.labels[feature];
  const row = button({ class: "saew-row", "aria-pressed": String(feature === view.feature), ...extra },
    make("span", { class: "saew-row-line" }, swatch(view, space.cluster[feature]),
      make("span", { class: "saew-label", dir: "auto" }, nameOf(space, feature)),
      label ? make("span", { class: "saew-number" }, String(feature)) : null,
      value === null ? null : make("span", { class: "saew-num" }, value)), ...(detail ? [detail].flat() : []));
  row.feature = feature;
  return make("li", {}, row);
}

const detailLine = (text) => (text ? make("span", { class: "saew-detail", dir: "auto" }, text) : null);

function meter(width, kind = "saew-bar") {
  const bar = make("span", { class: kind }, make("span"));
  bar.firstChild.style.inlineSize = `${Math.max(1, Math.min(100, 100 * width))}%`;
  return bar;
}

function featureRows(view, features, empty, detail = null) {
  if (!features.length) return [make("li", { class: "saew-none" }, empty)];
  return features.slice(0, LIST_ROWS + 1).map((feature) => {
    const [value, more] = detail ? detail(view, feature) : [null, detailLine(clusterNameOf(view.space, feature))];
    return featureRow(view, feature, value, more);
  }).concat(Array.from({ length: Math.max(0, features.length - LIST_ROWS - 1) }));
}

function litDetail(view, feature) {
  const { lit } = view.space;
  return [brief(lit.activation[feature]), meter(lit.activation[feature] / lit.top, "saew-bar saew-warm")];
}

function clusterRows(view) {
  if (!view.space.clusters.length) return [make("li", { class: "saew-none" }, "No clusters came with this map.")];
  return view.space.clusters.map((cluster) => {
    const row = button({ class: "saew-row" }, make("span", { class: "saew-row-line" }, swatch(view, cluster.number),
      make("span", { class: "saew-label", dir: "auto" }, cluster.name), make("span", { class: "saew-num" }, cluster.members.length.toLocaleString("en-US"))));
    row.cluster = cluster;
    return make("li", {}, row);
  });
}

function nearRows(view) {
  const near = view.near();
  if (!near.known) return [make("li", { class: "saew-none" }, "Asking for neighbours…")];
  if (near.failed) return [make("li", { class: "saew-group saew-bad" }, icon("warn"), near.failed)];
  if (!near.features.length) return [make("li", { class: "saew-none" }, "This feature has no neighbours by this distance.")];
  const widest = Math.max(1, near.distances[near.distances.length - 1]);
  const rows = near.features.map((feature, i) => featureRow(view, feature, near.distances[i].toFixed(3),
    [meter(1 - near.distances[i] / widest), detailLine(otherRanks(near.ranks, i))], { title: `Distance ${near.distances[i].toFixed(4)}, true neighbour ${i + 1}` }));
  if (!near.false.length) return [...rows, make("li", { class: "saew-group saew-good" }, icon("check"), "Every point beside it on the map is truly near.")];
  const head = make("li", { class: "saew-group saew-bad" }, icon("warn"), `Near only on the map: not among its ${view.space.meta.near} nearest`);
  return [...rows, head, ...near.false.map((one) => featureRow(view, one.feature, one.distance === null ? null : one.distance.toFixed(3), detailLine(truthAbout(one, view.space)), { class: "saew-row saew-false" }))];
}

function truthAbout({ rank }, { meta, size }) {
  return rank ? `true rank ${rank.toLocaleString("en-US")} of ${(size - 1).toLocaleString("en-US")}` : `beyond the ${meta.near} nearest`;
}

// Where other distances place the same neighbour.
function otherRanks(ranks, i) {
  return Object.entries(ranks).map(([name, all]) => (all[i] > 0 ? `${DISTANCE_NAMES[name] || name} #${all[i].toLocaleString("en-US")}` : "")).filter(Boolean).join("  ·  ");
}

function stepList(event, list, view) {
  const rows = [...list.querySelectorAll("button")];
  const at = rows.indexOf(event.target.closest("button"));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (event.key === "Escape") view.plane.focus();
  else if (to === undefined) return;
  else rows[Math.max(0, Math.min(rows.length - 1, to))]?.focus();
  event.preventDefault();
}
