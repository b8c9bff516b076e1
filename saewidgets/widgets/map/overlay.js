// Over the points: lines to the true neighbours, rings, names, the shape being drawn.
const TOOLS_WIDE = 58;

function createOverlay(view) {
  const canvas = make("canvas", { class: "saew-overlay" });
  const pen = canvas.getContext("2d");
  const names = createNames(view);
  let written = [];

  const at = (i) => view.camera.toScreen(view.space.x[i], view.space.y[i]);

  function ring(i, radius, color, width, dashes = []) {
    const [x, y] = at(i);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.setLineDash(dashes);
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.stroke();
    pen.setLineDash([]);
  }

  function disc(i, radius) {
    const [x, y] = at(i);
    const { colors } = view.look;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fillStyle = `rgb(${colors[4 * i]},${colors[4 * i + 1]},${colors[4 * i + 2]})`;
    pen.fill();
  }

  // Nearer neighbours have thicker lines; what lies outside the view is named at its edge.
  function lines(near) {
    const [x, y] = at(view.feature);
    const nearest = near.distances[0] || 0;
    const spread = Math.max(1e-6, (near.distances[near.distances.length - 1] || 1) - nearest);
    near.features.forEach((i, j) => {
      const [tx, ty] = at(i);
      const close = 1 - (near.distances[j] - nearest) / spread;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(tx, ty);
      pen.globalAlpha = 0.45 + 0.5 * close;
      pen.lineWidth = 1 + 1.4 * close;
      pen.strokeStyle = view.theme.accent;
      pen.stroke();
    });
    pen.globalAlpha = 1;
  }

  function neighborhood() {
    if (view.feature === null) return;
    const near = view.near();
    const radius = Math.max(4.5, pointRadius(view) * 1.25);
    lines(near);
    for (const { feature } of near.false) ring(feature, radius + 2.5, view.theme.danger, 1.5, [3, 2.5]);
    for (const i of near.features) {
      disc(i, radius);
      ring(i, radius, view.theme.ground, 1.5);
      if (i === view.candidate) ring(i, radius + 4, view.theme.accent, 2);
    }
    disc(view.feature, radius + 1.5);
    ring(view.feature, radius + 1.5, view.theme.ground, 2);
    ring(view.feature, radius + 4.5, view.theme.accent, 2.5);
  }

  function write(name) {
    pen.font = name.font;
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 3.5;
    pen.strokeStyle = view.theme.ground;
    const y = name.top + name.height / 2;
    pen.strokeText(name.text, name.left, y);
    // Where some points are emphasised, other names step back with the other points.
    pen.fillStyle = name.quiet && view.look.partial ? view.theme.soft : view.theme.ink;
    pen.fillText(name.text, name.left, y);
  }

  // Arrows at the edge towards neighbours outside the view, each with its name.
  function strangers(taken) {
    const { camera } = view;
    if (view.feature === null) return;
    const [x, y] = at(view.feature);
    if (x < 0 || y < 0 || x > camera.width - TOOLS_WIDE || y > camera.height) return;
    for (const i of view.near().features) {
      const [tx, ty] = at(i);
      const reach = exitOf(x, y, tx, ty, camera.width, camera.height, 14, TOOLS_WIDE);
      if (reach >= 1) continue;
      const [ex, ey] = [x + (tx - x) * reach, y + (ty - y) * reach];
      arrow(ex, ey, Math.atan2(ty - y, tx - x));
      edgeName(nameOf(view.space, i), ex, ey, taken);
    }
  }

  function arrow(x, y, angle) {
    pen.save();
    pen.translate(x, y);
    pen.rotate(angle);
    pen.beginPath();
    pen.moveTo(6, 0);
    pen.lineTo(-5, 5);
    pen.lineTo(-5, -5);
    pen.closePath();
    pen.fillStyle = view.theme.accent;
    pen.fill();
    pen.restore();
  }

  function edgeName(text, x, y, taken) {
    const font = `500 11.5px ${view.theme.font}`;
    pen.font = font;
    const short = shorten(text, 26);
    const width = pen.measureText(short).width;
    const left = Math.max(10, Math.min(view.camera.width - TOOLS_WIDE - width, x < view.camera.width / 2 ? x + 12 : x - width - 12));
    const box = { text: short, font, left, top: Math.max(8, Math.min(view.camera.height - 22, y - 7)), width, height: 14 };
    if (taken.some((other) => overlap(box, other))) return;
    taken.push(box);
    write(box);
  }

  function shape() {
    const points = view.shape;
    if (!points) return;
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.globalAlpha = 0.12;
    pen.fillStyle = view.theme.accent;
    pen.fill();
    pen.globalAlpha = 1;
    pen.setLineDash([5, 4]);
    pen.lineWidth = 1.5;
    pen.strokeStyle = view.theme.accent;
    pen.stroke();
    pen.setLineDash([]);
  }

  return {
    canvas,
    pen,
    draw(ratio) {
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, view.camera.width, view.camera.height);
      neighborhood();
      for (const i of view.rings()) ring(i, pointRadius(view) * 1.35 + 2, view.theme.ink, 1.25);
      const hover = view.hover;
      if (hover !== null) ring(hover, pointRadius(view) + 3.5, view.theme.ink, 2);
      const taken = view.reserved();
      strangers(taken);
      written = names.layout(pen, taken);
      written.forEach(write);
      shape();
    },
    // The cluster whose name lies under the pointer.
    clusterAt: (x, y) => written.find((name) => name.cluster && x >= name.left && x <= name.left + name.width && y >= name.top && y <= name.top + name.height)?.cluster || null,
    written: () => written.map((name) => ({ text: name.text, left: name.left, top: name.top, width: name.width, height: name.height })),
  };
}

// How far along the way from inside to a target the border is met; 1 or more where the target is inside.
function exitOf(x, y, tx, ty, width, height, margin, right) {
  const along = (from, to, low, high) => (to > high ? (high - from) / (to - from) : to < low ? (low - from) / (to - from) : 1);
  return Math.max(0, Math.min(along(x, tx, margin, width - right), along(y, ty, margin, height - margin)));
}
