// The figures of a card, and what the feature promotes, fires on and resembles.
function tile(name, value, detail, title) {
  return make("div", { class: "saew-tile", title }, make("dt", {}, name), make("dd", {}, make("b", { class: "saew-num" }, value), make("span", { class: "saew-faint" }, detail)));
}

function createTiles() {
  const node = make("dl", { class: "saew-tiles" });
  return {
    node,
    paint(card) {
      const unit = card.scale === "norm" ? "activation × ‖decoder‖" : "native feature_acts";
      const scored = card.label_score !== null;
      node.hidden = !card.count;
      if (!card.count) return;
      node.replaceChildren(
        tile("Density", percent(card.density), `${oneIn(card.density)} of ${short(card.n_tokens)} tokens`, `fires on ${card.count.toLocaleString("en-US")} of ${card.n_tokens.toLocaleString("en-US")} tokens`),
        tile("Maximum", brief(card.maximum), unit, null),
        tile("Mean", brief(card.mean), "where it fires", null),
        tile("Label score", scored ? card.label_score.toFixed(2) : "–", scored ? "on held-out examples" : "not measured", "How well the label predicts where the feature fires on text held out from making it, 0 to 1"));
    },
  };
}

function weightRow([token, weight], most) {
  const bar = make("span", { class: `saew-weight-bar ${weight < 0 ? "saew-down" : "saew-up"}` });
  bar.style.inlineSize = `${Math.max(2, (100 * Math.abs(weight)) / most)}%`;
  return make("li", {}, tokenChip(token), make("span", { class: "saew-weight-track" }, bar), make("span", { class: "saew-num" }, signed(weight)));
}

function createLogits() {
  const lists = ["Promotes", "Suppresses"].map((name) => ({ name, list: make("ol", { class: "saew-weights" }) }));
  const node = make("section", { class: "saew-panel saew-logits", "aria-label": "Logit weights" },
    ...lists.map(({ name, list }) => make("div", {}, make("h4", {}, name, make("span", { class: "saew-faint" }, " next token")), list)));
  return {
    node,
    paint(card) {
      node.hidden = !card.promoted.length && !card.suppressed.length;
      const most = Math.max(1e-9, ...[...card.promoted, ...card.suppressed].map(([, weight]) => Math.abs(weight)));
      [card.promoted, card.suppressed].forEach((rows, i) => lists[i].list.replaceChildren(...rows.map((row) => weightRow(row, most))));
    },
  };
}

function createFiresOn() {
  const list = make("ul", { class: "saew-fires" });
  const node = make("section", { class: "saew-fires-on", "aria-label": "Fires on" }, make("h4", {}, "Fires on"), list);
  return {
    node,
    paint(card) {
      node.hidden = !card.tokens.length;
      list.replaceChildren(...card.tokens.map(([token, share, base]) =>
        make("li", { title: `${percent(share)} of the feature’s activation, ${percent(base)} of the corpus` }, tokenChip(token), make("span", { class: "saew-num saew-faint" }, percent(share)))));
    },
  };
}

const RELATIONS = [
  { key: "neighbors", name: "Closest decoder vectors", unit: "cosine", goes: true },
  { key: "coactive", name: "Fires with", unit: "phi", goes: true },
  { key: "neurons", name: "Neurons of this layer’s MLP", unit: "Pearson’s r", goes: false },
];

function createRelations(view) {
  const parts = RELATIONS.map((relation) => {
    const list = make("ol", { class: "saew-related" });
    return { ...relation, list, node: make("div", {}, make("h4", {}, relation.name, make("span", { class: "saew-faint" }, ` ${relation.unit}`)), list) };
  });
  const node = make("section", { class: "saew-relations", "aria-label": "Related features and neurons" }, ...parts.map((part) => part.node));
  listen(node, "click", (event) => {
    const { feature } = event.target.closest("button") || {};
    if (feature !== undefined) view.go(feature);
  }, view.signal);

  function row([number, value, label], { goes }) {
    const bar = make("span", { class: `saew-weight-bar ${value < 0 ? "saew-down" : "saew-like"}` });
    bar.style.inlineSize = `${Math.max(1, 100 * Math.min(1, Math.abs(value ?? 0)))}%`;
    const name = goes ? view.labelOf(number) ?? label : "";
    const inside = [make("span", { class: "saew-related-name", dir: "auto" }, name || (goes ? `Feature ${number}` : `Neuron ${number}`)),
      name ? make("span", { class: "saew-number" }, String(number)) : null,
      make("span", { class: "saew-weight-track" }, bar), make("span", { class: "saew-num" }, value === null ? "–" : value.toFixed(2).replace("-", "−"))];
    if (!goes) return make("li", { class: "saew-related-row" }, ...inside);
    const link = button({ class: "saew-related-row" }, ...inside);
    link.disabled = !view.reaches(number);
    link.title = link.disabled ? "Not among the features of this page" : `Go to feature ${number}`;
    link.feature = number;
    return make("li", {}, link);
  }

  return {
    node,
    paint(card) {
      for (const part of parts) {
        part.node.hidden = !card[part.key].length;
        part.list.replaceChildren(...card[part.key].map((found) => row(found, part)));
      }
      node.hidden = parts.every((part) => part.node.hidden);
    },
  };
}
