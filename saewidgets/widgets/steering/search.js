// Finding a feature by its number or by words: a combobox.
const SEARCH_MS = 160;

function createSearch(view) {
  const { model, signal } = view;
  const can = model.get("_can");
  const listId = `saew-found-${view.id}`;
  const field = make("input", {
    class: "saew-search-field", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-expanded": "false", "aria-controls": listId,
    "aria-autocomplete": "list", "aria-label": "Add a feature", placeholder: can.search ? "Add a feature: words or number" : `Add a feature: number, 0 to ${can.d_sae - 1}`,
  });
  const list = make("ul", { class: "saew-found", role: "listbox", id: listId, hidden: true, "aria-label": "Features found" });
  const node = make("div", { class: "saew-search" }, icon("plus"), field, list);
  let [options, at, timer, query] = [[], 0, null, ""];

  function close() {
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function draw(note) {
    const rows = options.map(([feature, label], i) => make("li", { role: "option", id: `${listId}-${i}`, "aria-selected": String(i === at), "data-feature": feature },
      make("span", { class: "saew-found-label", dir: "auto" }, label || `Feature ${feature}`), make("span", { class: "saew-number" }, String(feature))));
    list.replaceChildren(...rows, ...(note ? [make("li", { class: "saew-none", role: "presentation" }, note)] : []));
    list.hidden = !rows.length && !note;
    field.setAttribute("aria-expanded", String(!list.hidden));
    if (rows.length) field.setAttribute("aria-activedescendant", `${listId}-${at}`);
  }

  function ofNumber() {
    if (!/^\d+$/.test(query)) return [];
    const feature = Number(query);
    return feature < can.d_sae ? [[feature, model.get("_labels")[feature]?.label || ""]] : [];
  }

  function look() {
    query = field.value.trim();
    clearTimeout(timer);
    options = ofNumber();
    at = 0;
    if (!query) return close();
    if (/^\d+$/.test(query)) return draw(options.length ? "" : `There is no feature ${query}: this SAE has features 0 to ${can.d_sae - 1}.`);
    if (!can.search) return draw("Type a feature's number.");
    draw("Searching…");
    timer = setTimeout(() => model.send({ type: "search", view: view.id, query }), SEARCH_MS);
  }

  function choose(i) {
    if (!options[i]) return;
    view.asked.add(options[i][0]);
    field.value = "";
    close();
    view.announce(`${nameOf(view, options[i][0])} added, switched off`);
  }

  listen(field, "input", look, signal);
  listen(field, "focus", () => field.value && look(), signal);
  listen(field, "blur", () => setTimeout(close, 150), signal);
  listen(list, "pointerdown", (event) => event.preventDefault(), signal);
  listen(list, "click", (event) => {
    const row = event.target.closest("[data-feature]");
    if (row) choose([...list.children].indexOf(row));
  }, signal);
  listen(field, "keydown", (event) => {
    if (event.key === "Enter") choose(at);
    else if (event.key === "Escape") close();
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length) {
      at = (at + (event.key === "ArrowDown" ? 1 : options.length - 1)) % options.length;
      draw("");
    } else return;
    event.preventDefault();
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(timer));
  return {
    node,
    found(message) {
      // An answer to an older question.
      if (message.query !== query || list.hidden) return;
      options = message.found;
      at = 0;
      draw(message.error || (options.length ? "" : "Nothing found. A feature's number works too."));
    },
  };
}
