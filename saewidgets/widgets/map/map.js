// The widget: one view of the model, its state, and how a change spreads from it.
const SLOW_KERNEL_MS = 6000;
const MAP_HINT = "Click a point for its true neighbours. Drag to move, scroll to zoom. On the map, ? lists the keys.";

function createView(model, root, signal) {
  const view = {
    model, root, signal, id: crypto.randomUUID?.() ?? String(Math.random()), space: null, grid: null, hues: new Map(), theme: null, look: null, painter: null,
    feature: null, features: [], hits: null, query: "", hover: null, hoveredCluster: null, candidate: null, shape: null, tool: "pan", panel: "clusters", history: [],
  };
  view.set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  view.mode = () => {
    const wanted = model.get("color_by");
    return view.space && modesOf(view.space).includes(wanted) ? wanted : "cluster";
  };
  view.rings = () => (view.hits && view.hits.length <= 60 ? view.hits : []);
  view.reserved = () => view.covers.filter((node) => !node.hidden && node.offsetWidth).map((node) => ({ left: node.offsetLeft, top: node.offsetTop, width: node.offsetWidth, height: node.offsetHeight }));
  return view;
}

// Painting: at most once a frame, and now for a picture.
function createStage(view) {
  let frame = 0;
  let stale = true;
  view.paintNow = () => {
    const { camera, space, painter } = view;
    if (!space || !painter || camera.width < 2) return;
    if (stale) {
      view.look = lookOf(view);
      painter.style(view.look);
      stale = false;
    }
    const ratio = window.devicePixelRatio || 1;
    painter.draw(camera, pointRadius(view), ratio);
    view.overlay.draw(ratio);
  };
  view.draw = () => {
    if (frame || view.signal.aborted) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      view.paintNow();
    });
  };
  view.restyle = () => {
    stale = true;
    view.draw();
  };
  view.signal.addEventListener("abort", () => cancelAnimationFrame(frame));
}

function createPainter(view) {
  const { space, signal } = view;
  view.painter?.dispose();
  view.painter?.canvas.remove();
  view.look = null;
  view.painter = createGlPainter(space) || createPlainPainter(space);
  view.root.dataset.painter = view.painter.kind;
  view.plane.prepend(view.painter.canvas);
  const fail = (event) => {
    event.preventDefault();
    if (signal.aborted || view.painter.kind !== "webgl" || event.target !== view.painter.canvas) return;
    view.painter.canvas.remove();
    view.painter = createPlainPainter(space);
    view.root.dataset.painter = view.painter.kind;
    view.plane.prepend(view.painter.canvas);
    fitCanvases(view);
    view.restyle();
  };
  // Too many contexts on one page, or a driver that crashed.
  view.painter.canvas.addEventListener("webglcontextlost", fail, { signal });
}

function fitCanvases(view) {
  const { camera, plane } = view;
  const ratio = window.devicePixelRatio || 1;
  camera.width = plane.clientWidth;
  camera.height = plane.clientHeight;
  for (const canvas of [view.painter?.canvas, view.overlay.canvas]) {
    if (!canvas) continue;
    canvas.width = Math.max(1, Math.round(camera.width * ratio));
    canvas.height = Math.max(1, Math.round(camera.height * ratio));
  }
}

function render({ model, el }) {
  const stop = new AbortController();
  const { signal } = stop;
  const root = make("section", { class: "saew saew-map", "aria-label": "Map of features", "data-lm-suppress-shortcuts": "true" });
  const view = createView(model, root, signal);
  createStage(view);
  view.camera = createCamera(signal, () => view.draw());
  view.plane = make("div", { class: "saew-plane", tabindex: "0", role: "application", "aria-roledescription": "map", "aria-label": `Map of features. ${HELP}`, "data-tool": "pan" });
  view.overlay = createOverlay(view);
  view.legend = createLegend(view);
  view.header = createHeader(view, trustBadge(model, root, signal));
  view.side = createSide(view);
  view.tooltip = createTooltip(view, root);
  view.problem = make("p", { class: "saew-problem", role: "alert", hidden: true });
  const tools = createTools(view);
  view.covers = [tools, view.legend.node];
  const status = make("p", { class: "saew-status", role: "status", "aria-live": "polite" }, "Loading…");
  view.announce = (message) => (status.textContent = message);
  view.plane.append(view.overlay.canvas);
  root.append(view.header.node, view.problem,
    make("div", { class: "saew-body" }, make("div", { class: "saew-stage" }, view.plane, tools, view.legend.node), view.side.node),
    make("footer", { class: "saew-foot" }, status));
  listen(root, "keydown", (event) => !event.ctrlKey && !event.metaKey && event.stopPropagation(), signal);
  el.append(root);
  wireMap(view);
  const timer = setTimeout(() => {
    if (!view.space) view.announce("Waiting for the kernel. If it was restarted, run this cell again.");
  }, SLOW_KERNEL_MS);
  return () => {
    clearTimeout(timer);
    stop.abort();
    view.painter?.dispose();
    root.remove();
  };
}
