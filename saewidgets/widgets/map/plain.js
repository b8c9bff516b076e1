// The same picture without WebGL: squares while points are small, discs once they are not.
function createPlainPainter(space) {
  const canvas = make("canvas", { class: "saew-points", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  let look = null;

  function dot(x, y, r) {
    if (r < 2.2) return pen.fillRect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    pen.beginPath();
    pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.fill();
  }

  return {
    canvas,
    kind: "canvas",
    style: (given) => (look = given),
    draw(camera, points, ratio) {
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, camera.width, camera.height);
      let last = -1;
      for (const i of look.order) {
        const [x, y] = camera.toScreen(space.x[i], space.y[i]);
        const r = (points * look.sizes[i]) / 32;
        if (x < -r || y < -r || x > camera.width + r || y > camera.height + r) continue;
        const c = 4 * i;
        const key = (look.colors[c] << 24) | (look.colors[c + 1] << 16) | (look.colors[c + 2] << 8) | look.colors[c + 3];
        // Setting a fill style is dearer than drawing a square.
        if (key !== last) pen.fillStyle = `rgba(${look.colors[c]},${look.colors[c + 1]},${look.colors[c + 2]},${look.colors[c + 3] / 255})`;
        last = key;
        dot(x, y, r);
      }
    },
    dispose() {},
  };
}
