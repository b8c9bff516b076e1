// Pointer and wheel on the map: drag to move, click to choose, draw a box or a lasso to select.
const CLICK_PX = 4;
const HOVER_PX = 12;
const WHEEL_REST_MS = 300;

function listenToPlane(view, plane, signal) {
  const pointers = new Map();
  let drag = null;
  let elsewhere = -Infinity;

  const where = (event) => {
    const box = plane.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const pick = ([x, y]) => {
    const [px, py] = view.camera.toWorld(x, y);
    return view.grid.nearest(px, py, Math.max(HOVER_PX, pointRadius(view) + 2) / view.camera.scale);
  };

  function down(event) {
    if (event.button !== 0 || !view.space) return;
    plane.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, where(event));
    const tool = event.shiftKey ? "box" : view.tool;
    drag = pointers.size > 1 ? { tool: "pinch", spread: spreadOf(pointers) } : { tool, from: where(event), last: where(event), moved: false, points: [where(event)] };
    // A ring around the map is for those who came by keyboard.
    view.root.classList.remove("saew-by-keys");
    plane.focus({ preventScroll: true });
  }

  function move(event) {
    if (!view.space) return;
    const at = where(event);
    if (!pointers.has(event.pointerId)) return event.pointerType !== "touch" && hover(at);
    pointers.set(event.pointerId, at);
    if (drag.tool === "pinch") return pinch();
    drag.moved ||= Math.hypot(at[0] - drag.from[0], at[1] - drag.from[1]) > CLICK_PX;
    if (!drag.moved) return;
    view.point(null);
    if (drag.tool === "pan") view.camera.pan(at[0] - drag.last[0], at[1] - drag.last[1]);
    else if (drag.tool === "box") view.shape = corners(drag.from, at);
    else if (Math.hypot(at[0] - drag.last[0], at[1] - drag.last[1]) > 3) drag.points.push(at);
    if (drag.tool === "lasso") view.shape = [...drag.points, at];
    plane.classList.toggle("saew-dragging", drag.tool === "pan");
    drag.last = at;
    view.draw();
  }

  function hover(at) {
    const i = pick(at);
    const cluster = i === null ? view.overlay.clusterAt(...at) : null;
    view.point(i, cluster);
    plane.style.cursor = i !== null || cluster ? "pointer" : "";
  }

  function pinch() {
    if (pointers.size < 2) return;
    const spread = spreadOf(pointers);
    view.camera.zoomAt(spread.wide / Math.max(1, drag.spread.wide), spread.x, spread.y);
    view.camera.pan(spread.x - drag.spread.x, spread.y - drag.spread.y);
    drag.spread = spread;
  }

  function up(event) {
    if (!pointers.delete(event.pointerId) || !drag) return;
    const ended = drag;
    if (pointers.size) return;
    drag = null;
    plane.classList.remove("saew-dragging");
    const shape = view.shape;
    view.shape = null;
    if (event.type === "pointercancel" || ended.tool === "pinch") return view.draw();
    if (!ended.moved) return click(where(event));
    if (shape) view.select(view.grid.inPolygon(shape.map(([x, y]) => view.camera.toWorld(x, y))));
    view.draw();
  }

  function click(at) {
    const i = pick(at);
    const cluster = i === null ? view.overlay.clusterAt(...at) : null;
    if (i !== null) view.choose(i);
    else if (cluster) view.visit(cluster);
    else view.choose(null);
  }

  // A page that scrolls under the pointer must not turn into a zoom half way.
  function wheel(event) {
    if (!view.space || (performance.now() - elsewhere < WHEEL_REST_MS && !event.ctrlKey)) {
      elsewhere = performance.now();
      return;
    }
    event.preventDefault();
    view.tooltip.hide();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : event.deltaMode === 2 ? 400 : 1);
    view.camera.zoomAt(Math.exp(-Math.max(-240, Math.min(240, pixels)) * (event.ctrlKey ? 0.008 : 0.0022)), ...where(event));
  }

  listen(plane, "pointerdown", down, signal);
  listen(plane, "pointermove", move, signal);
  listen(plane, "pointerup", up, signal);
  listen(plane, "pointercancel", up, signal);
  listen(plane, "pointerleave", () => view.space && view.point(null), signal);
  listen(plane, "dblclick", (event) => view.space && pick(where(event)) === null && view.camera.zoomAt(2, ...where(event)), signal);
  plane.addEventListener("wheel", wheel, { signal, passive: false });
  document.addEventListener("wheel", (event) => {
    if (!event.composedPath().includes(plane)) elsewhere = performance.now();
  }, { signal, passive: true, capture: true });
}

function corners([ax, ay], [bx, by]) {
  return [[ax, ay], [bx, ay], [bx, by], [ax, by]];
}

function spreadOf(pointers) {
  const [[ax, ay], [bx, by]] = [...pointers.values()];
  return { x: (ax + bx) / 2, y: (ay + by) / 2, wide: Math.hypot(ax - bx, ay - by) };
}
