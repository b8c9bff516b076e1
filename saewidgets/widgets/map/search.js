// Searching by label, number, token or cluster, here in the browser; a kernel may know more.
const MOST_HITS = 500;
const SEARCH_PAUSE_MS = 200;

function createSearch(view) {
  const { model, signal } = view;
  const field = make("input", { class: "saew-input saew-search-field", type: "search", placeholder: "Search label, number, token", "aria-label": "Search features by label, number or token", spellcheck: "false", autocomplete: "off" });
  const node = make("div", { class: "saew-search" }, icon("search"), field);
  let timer = null;
  signal.addEventListener("abort", () => clearTimeout(timer));

  function run() {
    const query = field.value.trim();
    view.showHits(query ? findFeatures(view.space, query) : null, query);
    if (query && view.space.meta.can_search) model.send({ type: "search", view: view.id, query });
  }

  listen(field, "input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => view.space && run(), SEARCH_PAUSE_MS);
  }, signal);
  listen(field, "keydown", (event) => {
    if (event.key === "Escape") {
      field.value = "";
      run();
      view.plane.focus();
    } else if (event.key === "Enter") {
      clearTimeout(timer);
      run();
      if (view.hits?.length) view.choose(view.hits[0]);
    } else if (event.key === "ArrowDown") {
      clearTimeout(timer);
      run();
      view.side.focus();
    } else return;
    event.preventDefault();
  }, signal);

  return {
    node,
    query: () => field.value.trim(),
    focus: () => field.focus(),
    clear: () => (field.value = ""),
    paint: () => (field.disabled = !view.space),
  };
}

// The number itself, then labels that begin a word with the query, then the rest, then tokens, then clusters.
function findFeatures(space, query) {
  const { labels, top_tokens: tokens } = space.meta;
  const wanted = query.toLowerCase();
  const groups = [[], [], [], [], []];
  const number = /^#?\d+$/.test(wanted) ? Number(wanted.replace("#", "")) : null;
  if (number !== null && number < space.size) groups[0].push(number);
  const clusters = new Set(space.clusters.filter((cluster) => cluster.name.toLowerCase().includes(wanted)).map((cluster) => cluster.number));
  for (let i = 0; i < space.size; i++) {
    if (i === number) continue;
    const label = (labels[i] || "").toLowerCase();
    const at = label.indexOf(wanted);
    if (at === 0 || (at > 0 && /[^\p{L}\p{N}]/u.test(label[at - 1]))) groups[1].push(i);
    else if (at > 0) groups[2].push(i);
    else if (tokens[i]?.toLowerCase().includes(wanted)) groups[3].push(i);
    else if (clusters.has(space.cluster[i])) groups[4].push(i);
  }
  return groups.flat().slice(0, MOST_HITS);
}
