// Keys and pointer.
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
