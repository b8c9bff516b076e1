// The features of the selected token, or the strongest of the whole text; a click recolours.
const ROWS = 100;

function createList(view) {
  const heading = make("h4", { class: "saew-list-head" });
  const back = button({ class: "saew-back", title: "Back to the whole text (Escape)" }, icon("back"), "Whole text");
  const list = make("ol", { class: "saew-rows" });
  const node = make("aside", { class: "saew-side", "aria-label": "Features" }, make("div", { class: "saew-side-top" }, heading, back), list);
  listen(back, "click", () => view.select(null), view.signal);
  listen(list, "click", (event) => {
    const row = event.target.closest("button");
    if (row) view.choose(row.feature === view.feature ? null : row.feature);
  }, view.signal);
  listen(list, "keydown", (event) => stepRows(event, list, view), view.signal);

  // Rows of [feature, value, detail].
  function rowsShown() {
    if (view.token !== null) return listOf(view.acts, view.token);
    return view.acts.meta.top.map(([feature, value, token, firing]) => [feature, value, detailOf(token, firing)]);
  }

  function detailOf(token, firing) {
    const peak = make("bdi", { class: "saew-peak" });
    drawPieces(peak, piecesOf(view.acts.meta.tokens[token], view.acts.meta.split[token], false).filter(([kind]) => kind !== "newline"));
    if (!peak.textContent.trim()) peak.textContent = spell(view.acts, token);
    return make("span", { class: "saew-detail" }, "peaks on ", peak, ` · ${count(firing, "token")}`);
  }

  function drawRow([feature, value, detail], top) {
    const label = view.acts.labels[feature];
    const bar = make("span", { class: "saew-bar" }, make("span"));
    bar.firstChild.style.inlineSize = `${Math.max(1, (100 * value) / top)}%`;
    const row = button({ class: "saew-row", "aria-pressed": String(feature === view.feature) },
      make("span", { class: "saew-row-line" },
        make("span", { class: "saew-label", dir: "auto" }, label || `Feature ${feature}`),
        label ? make("span", { class: "saew-number" }, String(feature)) : null,
        make("span", { class: "saew-num" }, brief(value))), bar, detail);
    row.feature = feature;
    return make("li", {}, row);
  }

  return {
    node,
    draw() {
      const rows = rowsShown();
      const token = make("bdi", { class: "saew-tip-token" }, view.token === null ? "" : spell(view.acts, view.token));
      heading.replaceChildren(...(view.token === null ? ["Strongest in this text"] : ["On ", token]));
      back.hidden = view.token === null;
      const top = rows?.length ? rows[0][1] : 1;
      list.replaceChildren(...(rows || []).slice(0, ROWS).map((row) => drawRow(row, top)));
      if (!rows) list.append(make("li", { class: "saew-none" }, "Loading…"));
      else if (!rows.length) list.append(make("li", { class: "saew-none" }, "No feature fires here."));
      else if (rows.length > ROWS) list.append(make("li", { class: "saew-none" }, `… and ${rows.length - ROWS} weaker ones`));
    },
    paint() {
      for (const row of list.querySelectorAll("button")) row.setAttribute("aria-pressed", String(row.feature === view.feature));
    },
    focus: () => list.querySelector("button")?.focus(),
  };
}

function stepRows(event, list, view) {
  const rows = [...list.querySelectorAll("button")];
  const at = rows.indexOf(event.target.closest("button"));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (event.key === "Escape") view.leaveList();
  else if (to === undefined) return;
  else rows[Math.max(0, Math.min(rows.length - 1, to))]?.focus();
  event.preventDefault();
}
