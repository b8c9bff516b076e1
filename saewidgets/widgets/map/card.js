// The chosen feature and how its neighbours are found: distance, k, and what the distance means.
const DISTANCE_NAMES = { decoder: "decoder", encoder: "encoder", logit: "logit effect", coactivation: "co-activation" };
const DISTANCE_TITLES = { decoder: "Decoder direction", encoder: "Encoder direction", logit: "Logit effect", coactivation: "Co-activation" };

function createCard(view) {
  const { model, signal } = view;
  const name = make("div", { class: "saew-place-name", dir: "auto" });
  const facts = make("p", { class: "saew-place-facts" });
  const distances = picker("by", "Distance between features", (distance) => view.set("distance", distance), signal);
  const slider = make("input", { class: "saew-range", type: "range", min: "1", "aria-label": "Number of neighbours k" });
  const shown = make("output", { class: "saew-num" });
  const about = make("p", { class: "saew-about" });
  const frame = button({ class: "saew-tool" }, icon("target"), "Zoom to neighbourhood");
  const pick = button({ class: "saew-tool", title: "Put the feature and its neighbours into .features" }, "Select these");
  listen(slider, "input", () => view.set("k", Number(slider.value)), signal);
  listen(frame, "click", () => view.frameNeighborhood(), signal);
  listen(pick, "click", () => view.select([view.feature, ...view.near().features], true), signal);
  const node = make("div", { class: "saew-place" }, name, facts,
    make("div", { class: "saew-place-row" }, distances.node, make("label", { class: "saew-pick" }, make("span", {}, "k"), slider, shown)),
    about, make("div", { class: "saew-place-row" }, frame, pick));
  let options = "";

  return {
    node,
    draw() {
      node.hidden = view.panel !== "near" || view.feature === null;
      if (node.hidden) return;
      const { space, feature } = view;
      name.replaceChildren(swatch(view, space.cluster[feature]), make("b", {}, nameOf(space, feature)), space.meta.labels[feature] ? make("span", { class: "saew-number" }, String(feature)) : "");
      facts.textContent = [clusterNameOf(space, feature), ...factsOf(view, feature), trustWords(space, feature)].filter(Boolean).join("  ·  ");
      const wanted = space.meta.distances.join(" ");
      if (options !== `${wanted} ${model.get("distance")}`) distances.paint(space.meta.distances.map((one) => [one, DISTANCE_TITLES[one] || one, false]), model.get("distance"));
      options = `${wanted} ${model.get("distance")}`;
      slider.max = String(Math.max(1, space.meta.max_k));
      slider.value = String(model.get("k"));
      shown.textContent = String(model.get("k"));
      about.textContent = space.meta.about[model.get("distance")] || "";
    },
  };
}

function trustWords(space, feature) {
  const trust = space.trust?.[feature];
  if (!Number.isFinite(trust)) return "";
  return `map trust ${trust.toFixed(2)}`;
}
