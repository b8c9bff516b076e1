// How a change of the model, or an answer of the kernel, spreads to what is shown.
function wireMap(view) {
  const { model, signal, camera } = view;
  const waiting = new Map();
  addActions(view);

  function showFeature() {
    view.feature = model.get("feature");
    view.candidate = null;
    view.complain("");
    if (!view.space) return;
    view.neighborhood.ask();
    if (view.feature !== null) {
      view.panel = "near";
      intoView(view);
      view.announce(describe(view));
    } else if (view.panel === "near") view.closePanel();
    view.legend.paint();
    view.side.draw();
    view.restyle();
  }

  function neighborsChanged() {
    if (!view.space) return;
    view.candidate = null;
    view.neighborhood.ask();
    view.side.draw();
    view.draw();
  }

  function recolour() {
    view.header.paint();
    if (!view.space) return;
    view.legend.paint();
    view.restyle();
  }

  function showFeatures() {
    view.features = model.get("features");
    if (view.space) view.announce(view.features.length ? `${count(view.features.length, "feature")} selected` : MAP_HINT);
    if (!view.space) return;
    if (!view.features.length && view.panel === "selection") view.closePanel();
    else if (view.panel === "selection") view.side.draw();
    view.restyle();
  }

  function retheme() {
    const before = view.theme;
    view.theme = themeOf(view.root);
    if (!view.space || (before.ground === view.theme.ground && before.ink === view.theme.ink)) return;
    view.legend.paint();
    view.side.draw();
    view.restyle();
  }

  function takeSpace(message, blob) {
    view.space = readSpace(blob, message.acts);
    view.grid = createGrid(view.space);
    view.hues = huesOf(view.space.clusters);
    view.theme = themeOf(view.root);
    view.neighborhood.forget();
    createPainter(view);
    fitCanvases(view);
    camera.setHome(homeOf(view.space));
    camera.jump(camera.home);
    view.features = model.get("features");
    view.hits = null;
    view.panel = view.features.length ? "selection" : view.space.lit ? "lit" : "clusters";
    view.announce(MAP_HINT);
    view.header.paint();
    showFeature();
    view.paintNow();
    view.root.dataset.ready = message.acts;
  }

  function takeLit(blob) {
    const { meta, features, values } = unpack(blob);
    if (meta.text !== model.get("text")) return;
    const had = !!view.space.lit;
    view.space.lit = meta.text ? litOf(view.space, Array.from(features), Array.from(values), meta.text) : null;
    view.complain("");
    view.root.removeAttribute("data-busy");
    if (view.space.lit) {
      view.announce(`${count(view.space.lit.features.length, "feature")} fire on the sentence`);
      if (!had) view.open("lit");
    } else if (view.panel === "lit") view.panel = "clusters";
    view.side.draw();
    recolour();
  }

  const takes = {
    neighbors(blob) {
      view.neighborhood.take(blob);
      view.side.draw();
      if (view.feature !== null) view.announce(describe(view));
      view.draw();
    },
    failed({ asked, message }) {
      if (!view.space) return;
      view.neighborhood.fail(asked, message);
      view.side.draw();
      view.announce(message);
    },
    lit: takeLit,
    found(blob) {
      const { meta, features } = unpack(blob);
      if (view.hits === null || meta.query !== view.query) return;
      const known = new Set(view.hits);
      view.showHits([...view.hits, ...Array.from(features).filter((i) => !known.has(i))].slice(0, MOST_HITS), view.query);
    },
  };

  watch(model, "msg:custom", (message, buffers) => {
    if (message.to && message.to !== view.id) return;
    if (message.type === "failed") {
      if (message.asked) return takes.failed(message);
      view.root.removeAttribute("data-busy");
      return view.complain(message.message);
    }
    if (message.type === "acts" ? message.acts <= (view.space?.number ?? 0) : message.acts !== view.space?.number) return;
    const blob = collect(waiting, message, buffers);
    if (!blob) return;
    if (message.type === "acts") takeSpace(message, blob);
    else takes[message.type]?.(blob);
  }, signal);
  watch(model, "change:feature", showFeature, signal);
  watch(model, "change:features", showFeatures, signal);
  watch(model, "change:distance", neighborsChanged, signal);
  watch(model, "change:k", neighborsChanged, signal);
  watch(model, "change:color_by", recolour, signal);
  watch(model, "change:text", () => {
    view.root.toggleAttribute("data-busy", !!model.get("text") && !!view.space?.meta.can_light);
    view.header.sentence.paint();
  }, signal);
  listenToPlane(view, view.plane, signal);
  listenToKeys(view, view.plane, signal);
  followSize(view, signal);
  followTheme(retheme, signal);
  view.theme = themeOf(view.root);
  view.header.paint();
  model.send({ type: "ready", view: view.id });
}

// A feature chosen elsewhere is brought into view; one that is visible does not make the map jump.
function intoView(view) {
  const { camera, space, feature } = view;
  const [x, y] = camera.toScreen(space.x[feature], space.y[feature]);
  const margin = 30;
  if (x > margin && y > margin && x < camera.width - margin && y < camera.height - margin) return;
  camera.fly({ x: space.x[feature], y: space.y[feature], scale: camera.scale });
}

function describe(view) {
  const { space, feature } = view;
  const near = view.near();
  const name = `${nameOf(space, feature)}${space.meta.labels[feature] ? `, feature ${feature}` : ""}`;
  if (!near.known) return `${name}: asking for neighbours`;
  if (!near.features.length) return `${name}: no neighbours by this distance`;
  const wrong = near.false.length ? `; ${near.false.length} beside it on the map are not truly near` : "";
  return `${name}. Nearest: ${near.features.slice(0, 3).map((i) => nameOf(space, i)).join(", ")}${wrong}`;
}
