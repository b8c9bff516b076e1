// Where the map is looked at: centre in the layout's units, scale in pixels per unit.
const FLIGHT_MS = 450;
const MARGIN = 26;

function createCamera(signal, moved) {
  const camera = { x: 0, y: 0, scale: 1, width: 1, height: 1, home: { x: 0, y: 0, scale: 1 } };
  let frame = 0;
  signal.addEventListener("abort", () => cancelAnimationFrame(frame));

  const limited = (scale) => Math.max(camera.home.scale * 0.4, Math.min(camera.home.scale * 3000, scale));

  camera.toScreen = (x, y) => [(x - camera.x) * camera.scale + camera.width / 2, camera.height / 2 - (y - camera.y) * camera.scale];
  camera.toWorld = (sx, sy) => [(sx - camera.width / 2) / camera.scale + camera.x, (camera.height / 2 - sy) / camera.scale + camera.y];
  camera.zoom = () => camera.scale / camera.home.scale;

  // The view that holds a box; a box of no size keeps a little of what surrounds it.
  camera.framing = (box, margin = MARGIN) => {
    const [width, height] = [Math.max(40, camera.width - 2 * margin), Math.max(40, camera.height - 2 * margin)];
    const least = (camera.home.scale > 1e-9 ? Math.min(camera.width, camera.height) / camera.home.scale : 1) / 1500;
    const scale = Math.min(width / Math.max(box.right - box.left, least), height / Math.max(box.top - box.bottom, least));
    return { x: (box.left + box.right) / 2, y: (box.bottom + box.top) / 2, scale };
  };

  camera.setHome = (box) => {
    camera.home = { x: 0, y: 0, scale: 0 };
    camera.home = camera.framing(box);
  };

  camera.jump = (target) => {
    cancelAnimationFrame(frame);
    frame = 0;
    Object.assign(camera, { x: target.x, y: target.y, scale: limited(target.scale) });
    moved();
  };

  camera.fly = (target) => {
    cancelAnimationFrame(frame);
    const from = { x: camera.x, y: camera.y, scale: camera.scale };
    const to = { ...target, scale: limited(target.scale) };
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return camera.jump(to);
    const began = performance.now();
    const step = (now) => {
      const t = Math.min(1, Math.max(0, (now - began) / FLIGHT_MS));
      if (t === 1) return camera.jump(to);
      Object.assign(camera, between(from, to, t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2));
      moved();
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  };

  camera.zoomAt = (factor, sx, sy) => {
    const [x, y] = camera.toWorld(sx, sy);
    const scale = limited(camera.scale * factor);
    camera.jump({ x: x - (sx - camera.width / 2) / scale, y: y + (sy - camera.height / 2) / scale, scale });
  };

  camera.pan = (dx, dy) => camera.jump({ x: camera.x - dx / camera.scale, y: camera.y + dy / camera.scale, scale: camera.scale });
  camera.flying = () => frame !== 0;
  return camera;
}

// The scale moves evenly to the eye, and what is flown to stays on a straight line.
function between(from, to, t) {
  const scale = from.scale * (to.scale / from.scale) ** t;
  const ratio = from.scale / to.scale;
  const way = Math.abs(1 - ratio) < 1e-3 ? t : (1 - from.scale / scale) / (1 - ratio);
  return { x: from.x + (to.x - from.x) * way, y: from.y + (to.y - from.y) * way, scale };
}
