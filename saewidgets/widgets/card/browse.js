// The bar above a card: next, previous, random, a number, and the way back.
function createBar(view, badge) {
  const { signal } = view;
  const tool = (name, label, title) => button({ class: "saew-tool", "aria-label": label, title }, icon(name));
  const all = button({ class: "saew-tool saew-all-toggle", "aria-expanded": "false" }, icon("list"), "All features");
  const back = tool("back", "Back", "Back to the card before (b)");
  const previous = tool("up", "Previous", "Previous in the list (k)");
  const next = tool("down", "Next", "Next in the list (j)");
  const random = tool("random", "Random", "A random feature of those listed (r)");
  const number = make("input", { class: "saew-input saew-goto", type: "text", inputmode: "numeric", "aria-label": "Feature number", title: "Go to a feature by number (g)" });
  const of = make("span", { class: "saew-faint saew-num" });
  const form = make("form", { class: "saew-goto-form" }, make("span", { class: "saew-faint" }, "Feature"), number, of);
  const busy = make("span", { class: "saew-loading", role: "status" });
  const node = make("nav", { class: "saew-bar-top", "aria-label": "Browse features" }, all, make("div", { class: "saew-steps" }, back, previous, next, random), form, busy, badge);

  listen(all, "click", () => all.setAttribute("aria-expanded", String(view.root.toggleAttribute("data-list"))), signal);
  listen(back, "click", () => view.back(), signal);
  listen(previous, "click", () => view.step(-1), signal);
  listen(next, "click", () => view.step(1), signal);
  listen(random, "click", () => view.random(), signal);
  listen(form, "submit", (event) => {
    event.preventDefault();
    const typed = number.value.trim().replace(/[,\s]/g, "");
    const feature = /^\d+$/.test(typed) ? Number(typed) : NaN;
    if (view.reaches(feature)) view.go(feature);
    else view.announce(view.total() ? `There is no card of feature ${number.value}.` : "The list has yet to arrive.");
    number.value = String(view.feature);
    number.select();
  }, signal);
  listen(number, "focus", () => number.select(), signal);

  return {
    node,
    focusNumber: () => number.focus(),
    paint() {
      number.value = String(view.feature);
      of.textContent = view.total() ? `of ${view.total().toLocaleString("en-US")}` : "";
      back.disabled = !view.past.length;
      const beside = [previous, next].map((node, i) => [node, view.beside(i ? 1 : -1)]);
      for (const [node, feature] of beside) node.disabled = feature === null || !view.reaches(feature);
      random.disabled = view.total() === 0;
    },
    busy: (text) => (busy.textContent = text),
    closeList() {
      view.root.removeAttribute("data-list");
      all.setAttribute("aria-expanded", "false");
    },
  };
}
