// Names on the map: of clusters from afar, of single features from close by; none over another.
const MOST_NAMES = 32;
const CLOSE = 70;
const GAP = 6;

function createNames(view) {
  const widths = new Map();

  function widthOf(pen, font, text) {
    const key = `${font} ${text}`;
    if (!widths.has(key)) {
      if (widths.size > 5000) widths.clear();
      pen.font = font;
      widths.set(key, pen.measureText(text).width);
    }
    return widths.get(key);
  }

  // A box in pixels for a text beside or on a point; null where it would cover another or leave the map.
  function placed(pen, taken, { text, size, bold, x, y, centered, beside }) {
    const font = `${bold ? 600 : 500} ${size}px ${view.theme.font}`;
    const width = widthOf(pen, font, text);
    const left = centered ? x - width / 2 : x + beside;
    const box = { text, font, left, top: y - size * 0.62, width, height: size * 1.24 };
    if (left < 4 || box.top < 4 || left + width > view.camera.width - 4 || box.top + box.height > view.camera.height - 4) return null;
    return taken.some((other) => overlap(box, other)) ? null : box;
  }

  function addTo(pen, taken, wanted, most) {
    const found = [];
    for (const one of wanted) {
      if (found.length >= most) break;
      const box = placed(pen, taken, one);
      if (!box) continue;
      taken.push(box);
      found.push({ ...one, ...box });
    }
    return found;
  }

  // Clusters in view, largest first, so that the same ones win on every frame.
  function clusterNames() {
    const { camera, space } = view;
    const wanted = [];
    const biggest = space.clusters[0]?.members.length || 1;
    for (const cluster of space.clusters.slice(0, 2500)) {
      const [x, y] = camera.toScreen(cluster.x, cluster.y);
      if (x < 0 || y < 0 || x > camera.width || y > camera.height) continue;
      const share = Math.sqrt(cluster.members.length / biggest);
      wanted.push({ text: shorten(cluster.name, 30), size: Math.round(11.5 + 3 * share), bold: true, x, y, centered: true, quiet: true, cluster });
    }
    return wanted;
  }

  const named = (i, bold) => {
    const [x, y] = view.camera.toScreen(view.space.x[i], view.space.y[i]);
    return { text: shorten(nameOf(view.space, i), 36), size: 12, bold, x, y, centered: false, beside: (pointRadius(view) * view.look.sizes[i]) / FULL + (bold ? 10 : 5), feature: i };
  };

  function featureNames() {
    const { camera, space, grid } = view;
    const [left, top] = camera.toWorld(0, 0);
    const [right, bottom] = camera.toWorld(camera.width, camera.height);
    if (grid.atMost(left, bottom, right, top) > 6 * CLOSE) return [];
    const inView = grid.inBox(left, bottom, right, top);
    const known = (i) => (space.meta.labels[i] ? 1 : 0) + (space.density?.[i] || 0);
    return inView.sort((a, b) => known(b) - known(a) || a - b).slice(0, 3 * CLOSE).map((i) => ({ ...named(i, false), quiet: true }));
  }

  return {
    // What to write and where, the chosen feature and its neighbours first.
    layout(pen, taken) {
      const near = view.near();
      const first = [view.feature, ...near.features].filter((i) => i !== null).map((i) => named(i, i === view.feature));
      const own = addTo(pen, taken, first, 60);
      const marked = (view.hits || (view.mode() === "activation" ? view.space.lit.features : [])).slice(0, 40).map((i) => named(i, false));
      const hits = addTo(pen, taken, marked, 25);
      const clusters = addTo(pen, taken, clusterNames(), MOST_NAMES);
      const single = addTo(pen, taken, featureNames(), CLOSE);
      return [...clusters, ...single, ...hits, ...own];
    },
  };
}

function overlap(a, b) {
  return a.left < b.left + b.width + GAP && b.left < a.left + a.width + GAP && a.top < b.top + b.height + GAP && b.top < a.top + a.height + GAP;
}

function shorten(text, most) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, most - 1).join("").trimEnd()}…` : text;
}
