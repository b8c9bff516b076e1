// What a user can do to the view.
function addActions(view) {
  const { model, camera } = view;
  const neighborhood = createNeighborhood(view);
  view.near = neighborhood.near;
  view.neighborhood = neighborhood;

  view.choose = (feature) => {
    if (feature !== null && view.feature !== null && feature !== view.feature) view.history.push(view.feature);
    if (feature === view.feature && feature !== null) return view.frameNeighborhood();
    view.set("feature", feature);
  };
  view.goBack = () => {
    const last = view.history.pop();
    if (last === undefined) return view.announce("No feature was visited before.");
    view.set("feature", last);
  };
  view.point = (feature, cluster = null, tip = true) => {
    if (feature === null || !tip) view.tooltip.hide();
    if (view.hover === feature && view.hoveredCluster === cluster) return;
    const restyled = view.hoveredCluster !== cluster;
    view.hover = feature;
    view.hoveredCluster = cluster;
    if (feature !== null && tip) view.tooltip.show(feature);
    if (restyled) view.restyle();
    else view.draw();
  };
  view.select = (features, keepPanel = false) => {
    view.set("features", features);
    if (!features.length) view.announce("Nothing lies in that shape: the selection is empty.");
    else if (!keepPanel) view.open("selection");
  };
  view.visit = (cluster) => {
    view.point(null);
    view.set("features", cluster.members.slice());
    view.open("selection");
    camera.fly(camera.framing(boundsOf(view.space, cluster.members), 90));
    view.announce(`${cluster.name}: ${count(cluster.members.length, "feature")}, selected`);
  };
  view.showHits = (hits, query) => {
    view.hits = hits;
    view.query = query;
    if (hits) view.open("hits");
    else if (view.panel === "hits") view.closePanel();
    if (hits) view.announce(`${count(hits.length, "hit")} for ${query}`);
    view.restyle();
  };
  view.open = (panel) => {
    view.panel = panel;
    view.side.draw();
    view.restyle();
  };
  // Closing a list also ends what it lists, so that the colours say what the list says.
  view.closePanel = () => {
    const closed = view.panel;
    view.panel = "clusters"; // before the traits change: their listeners close what is still open
    if (closed === "near") view.set("feature", null);
    if (closed === "hits") {
      view.hits = null;
      view.header.search.clear();
    }
    if (closed === "selection") view.set("features", []);
    const next = view.hits ? "hits" : view.features.length ? "selection" : view.space.lit ? "lit" : "clusters";
    view.open(closed === "lit" ? "clusters" : next);
  };
  view.escape = () => (view.panel === "clusters" ? view.announce(MAP_HINT) : view.closePanel());
  view.frameNeighborhood = () => {
    if (view.feature !== null) camera.fly(camera.framing(neighborhoodBox(view.space, view.feature, view.near()), 80));
  };
  view.reset = () => camera.fly(camera.home);
  view.focusSearch = () => view.header.search.focus();
  view.complain = (message) => {
    view.problem.hidden = !message;
    view.problem.replaceChildren(...(message ? [icon("warn"), make("span", { dir: "auto" }, message)] : []));
  };
}
