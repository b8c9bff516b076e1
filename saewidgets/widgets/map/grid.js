// A grid over the plane: which points lie near the pointer, in a box, in a lasso.
function createGrid(space) {
  const { x, y, size } = space;
  const box = boundsOf(space);
  const side = Math.max(1, Math.ceil(Math.sqrt(size / 3)));
  const [wide, high] = [(box.right - box.left || 1) / side, (box.top - box.bottom || 1) / side];
  const column = (value) => Math.max(0, Math.min(side - 1, Math.floor((value - box.left) / wide)));
  const row = (value) => Math.max(0, Math.min(side - 1, Math.floor((value - box.bottom) / high)));
  const start = new Uint32Array(side * side + 1);
  const cells = new Uint32Array(size);
  for (let i = 0; i < size; i++) {
    cells[i] = row(y[i]) * side + column(x[i]);
    start[cells[i] + 1]++;
  }
  for (let c = 0; c < side * side; c++) start[c + 1] += start[c];
  const order = new Uint32Array(size);
  const next = start.slice();
  for (let i = 0; i < size; i++) order[next[cells[i]]++] = i;

  // Calls `fn` for every point in the cells that a box touches.
  function each(left, bottom, right, top, fn) {
    for (let r = row(bottom); r <= row(top); r++) {
      const from = r * side;
      for (let at = start[from + column(left)]; at < start[from + column(right) + 1]; at++) fn(order[at]);
    }
  }

  return {
    nearest(px, py, radius) {
      let best = null;
      let distance = radius * radius;
      each(px - radius, py - radius, px + radius, py + radius, (i) => {
        const off = (x[i] - px) ** 2 + (y[i] - py) ** 2;
        if (off > distance || (off === distance && best !== null && i > best)) return;
        [best, distance] = [i, off];
      });
      return best;
    },
    inBox(left, bottom, right, top) {
      const found = [];
      each(left, bottom, right, top, (i) => x[i] >= left && x[i] <= right && y[i] >= bottom && y[i] <= top && found.push(i));
      return found.sort((a, b) => a - b);
    },
    // At least as many as lie in the box, without looking at them.
    atMost(left, bottom, right, top) {
      let count = 0;
      for (let r = row(bottom); r <= row(top); r++) count += start[r * side + column(right) + 1] - start[r * side + column(left)];
      return count;
    },
    inPolygon(points) {
      const xs = points.map((point) => point[0]);
      const ys = points.map((point) => point[1]);
      const found = [];
      each(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (i) => inside(points, x[i], y[i]) && found.push(i));
      return found.sort((a, b) => a - b);
    },
  };
}

// Even-odd rule.
function inside(points, px, py) {
  let is = false;
  for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
    const [ax, ay] = points[i];
    const [bx, by] = points[j];
    if (ay > py !== by > py && px < ((bx - ax) * (py - ay)) / (by - ay) + ax) is = !is;
  }
  return is;
}
