// What colours and lines mean, over a corner of the map.
function createLegend(view) {
  const body = make("div", { class: "saew-legend-body" });
  const marks = make("div", { class: "saew-legend-marks" },
    make("span", {}, make("i", { class: "saew-key-line" }), "truly near"),
    make("span", {}, make("i", { class: "saew-key-ring" }), "near only on the map"));
  const node = make("div", { class: "saew-map-legend" }, body, marks);

  function ramp(mode) {
    const span = spanOf(view.space, mode);
    const stops = RAMPS[mode][view.theme.name];
    const bar = make("span", { class: "saew-ramp" });
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const [low, high] = ends(mode, span);
    return [make("div", { class: "saew-ramp-row" }, make("span", { class: "saew-num" }, low), bar, make("span", { class: "saew-num" }, high))];
  }

  const ends = (mode, { low, high }) => [low, high].map(mode === "density" ? share : brief);

  function clusters() {
    const alone = view.space.size - view.space.clusters.reduce((sum, cluster) => sum + cluster.members.length, 0);
    const none = make("span", { class: "saew-legend-none" }, swatch(view, -1), `${alone.toLocaleString("en-US")} in none`);
    return [make("div", { class: "saew-ramp-row" }, make("span", {}, count(view.space.clusters.length, "cluster")), alone ? none : null)];
  }

  return {
    node,
    words() {
      const mode = view.mode();
      if (mode === "cluster") return "cluster";
      return `${COLOR_MODES[mode].title.toLowerCase()}, ${ends(mode, spanOf(view.space, mode)).join(" to ")}`;
    },
    paint() {
      const mode = view.mode();
      body.replaceChildren(make("div", { class: "saew-legend-title" }, COLOR_MODES[mode].title), ...(mode === "cluster" ? clusters() : ramp(mode)));
      body.title = COLOR_MODES[mode].about;
      marks.hidden = view.feature === null;
      node.setAttribute("role", "img");
      node.setAttribute("aria-label", `Colours show ${this.words()}. ${COLOR_MODES[mode].about}`);
    },
  };
}
