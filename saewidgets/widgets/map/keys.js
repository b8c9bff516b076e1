// The map by keyboard: arrows walk to the true neighbour lying that way; the rest is named in HELP.
const HELP = "Arrow keys walk to the true neighbour lying that way, N and B step through neighbours, Enter goes there, Backspace goes back, " +
  "Z zooms to the neighbourhood, plus and minus zoom, Shift with arrows moves the map, 0 shows all of it, slash searches, Escape closes.";
const WAYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function listenToKeys(view, plane, signal) {
  const actions = {
    n: () => stepCandidate(view, 1),
    b: () => stepCandidate(view, -1),
    Enter: () => view.candidate !== null && view.choose(view.candidate),
    " ": () => view.candidate !== null && view.choose(view.candidate),
    Backspace: () => view.goBack(),
    z: () => view.frameNeighborhood(),
    "+": () => zoomCentre(view, 1.5),
    "=": () => zoomCentre(view, 1.5),
    "-": () => zoomCentre(view, 1 / 1.5),
    0: () => view.reset(),
    "/": () => view.focusSearch(),
    Escape: () => view.escape(),
    "?": () => view.announce(HELP),
  };
  listen(view.root, "keyup", (event) => event.key === "Tab" && view.root.classList.add("saew-by-keys"), signal);
  listen(plane, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !view.space) return;
    view.root.classList.add("saew-by-keys");
    const way = WAYS[event.key];
    if (way && event.shiftKey) view.camera.pan(-60 * way[0], 60 * way[1]);
    else if (way) walk(view, way);
    else if (actions[event.key]) actions[event.key]();
    else return;
    event.preventDefault();
  }, signal);
}

function zoomCentre(view, factor) {
  view.camera.zoomAt(factor, view.camera.width / 2, view.camera.height / 2);
}

function stepCandidate(view, by) {
  const { features, distances } = view.near();
  if (!features.length) return;
  const at = features.indexOf(view.candidate);
  const next = at < 0 ? (by > 0 ? 0 : features.length - 1) : (at + by + features.length) % features.length;
  view.candidate = features[next];
  view.announce(`Neighbour ${next + 1} of ${features.length}: ${nameOf(view.space, view.candidate)}, distance ${brief(distances[next])}. Enter goes there.`);
  view.draw();
}

// With nothing chosen, the walk begins at the point nearest to the middle of the view.
function walk(view, way) {
  if (view.feature === null) return view.choose(nearestToCentre(view));
  const to = neighborTowards(view.space, view.feature, view.near().features, way);
  if (to === null) view.announce("No true neighbour lies that way.");
  else view.choose(to);
}

function nearestToCentre({ camera, grid }) {
  for (let pixels = 40; pixels < 1e5; pixels *= 2) {
    const found = grid.nearest(camera.x, camera.y, pixels / camera.scale);
    if (found !== null) return found;
  }
  return null;
}

// The first of the neighbours, nearest first, within 45 degrees of the way; those on the very spot lie every way.
function neighborTowards(space, feature, neighbors, [wx, wy]) {
  const lies = (i) => {
    const [dx, dy] = [space.x[i] - space.x[feature], space.y[i] - space.y[feature]];
    const length = Math.hypot(dx, dy);
    return length === 0 || (dx * wx + dy * wy) / length > 0.7;
  };
  return neighbors.find(lies) ?? null;
}
