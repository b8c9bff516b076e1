// Title, mode, colour scale and tools.
const UNITS = { norm: "activation × ‖decoder‖", native: "native feature_acts" };

// Two choices of which one holds; `paint` takes whether the second does.
function choice(label, first, second, pick, signal) {
  const buttons = [first, second].map((text) => button({ class: "saew-segment" }, text));
  buttons.forEach((node, i) => listen(node, "click", () => pick(i === 1), signal));
  return {
    node: make("div", { class: "saew-choice", role: "group", "aria-label": label }, ...buttons),
    buttons,
    paint: (isSecond) => buttons.forEach((node, i) => node.setAttribute("aria-pressed", String(isSecond === (i === 1)))),
  };
}

function createLegend(view) {
  const top = make("span", { class: "saew-num" });
  const unit = make("span", { class: "saew-unit" });
  const node = make("div", { class: "saew-legend", role: "img" },
    make("div", { class: "saew-ramp-row" }, make("span", { class: "saew-num" }, "0"), make("span", { class: "saew-ramp" }), top), unit);
  return {
    node,
    paint() {
      const { acts, feature } = view;
      const byFeature = view.scalesByFeature();
      const full = byFeature ? acts.maxima.get(feature) : view.summary.top;
      top.textContent = byFeature && feature === null ? "each feature’s max" : brief(full ?? NaN);
      unit.textContent = UNITS[acts.meta.scale] || acts.meta.scale;
      node.setAttribute("aria-label", `Colour scale from 0 to ${top.textContent}, ${unit.textContent}`);
    },
  };
}

function createHeader(view, badge, editButton) {
  const { model, signal } = view;
  const title = make("span", { class: "saew-name", dir: "auto" });
  const number = make("span", { class: "saew-number" });
  const subtitle = make("p", { class: "saew-subtitle" });
  const mode = choice("What the colours show", "Strongest feature", "One feature", (one) => view.choose(one ? view.lastFeature() : null), signal);
  const scale = choice("Full colour is", "Text max", "Feature max", (byFeature) => view.set("scale_by", byFeature ? "feature" : "text"), signal);
  mode.buttons[0].title = "Colour every token by its strongest feature";
  mode.buttons[1].title = "Colour every token by one feature; pick it in the list";
  const legend = createLegend(view);
  const whitespace = button({ class: "saew-tool", title: "Show spaces, tabs and line ends", "aria-label": "Show whitespace" }, icon("pilcrow"));
  listen(whitespace, "click", () => view.set("show_whitespace", !model.get("show_whitespace")), signal);
  const node = make("header", { class: "saew-head" },
    make("div", { class: "saew-titles" }, make("div", {}, make("h3", {}, title, number), subtitle),
      make("div", { class: "saew-tools" }, whitespace, editButton, badge)),
    make("div", { class: "saew-controls" }, mode.node, legend.node, scale.node));

  function sentence() {
    const { acts, feature, summary } = view;
    const tokens = count(acts.size, "token");
    const what = feature === null ? `${tokens}, each coloured by the feature that fires most` : `fires on ${summary.firing.toLocaleString("en-US")} of ${tokens}`;
    return [what, acts.meta.source].filter(Boolean).join("  ·  ");
  }

  return {
    node,
    paint() {
      const { acts, feature } = view;
      title.textContent = feature === null ? "Strongest feature per token" : nameOf(acts, feature);
      number.textContent = feature === null || !acts.labels[feature] ? "" : String(feature);
      subtitle.textContent = sentence();
      mode.paint(feature !== null);
      scale.paint(view.scalesByFeature());
      scale.buttons[0].title = "Full colour: the strongest value in this text";
      scale.buttons[1].title = acts.maxima ? "Full colour: the feature’s known maximum" : "No maxima are known: scan a corpus first";
      scale.buttons[1].disabled = !acts.maxima;
      mode.buttons[1].disabled = view.lastFeature() === null;
      whitespace.setAttribute("aria-pressed", String(model.get("show_whitespace")));
      legend.paint();
    },
  };
}
