// Colour, size and order of every point, as the painters want them.
const FULL = 32; // sizes are told in 32nds, to fit a byte

function lookOf(view) {
  const { space } = view;
  const look = view.look || { colors: new Uint8Array(4 * space.size), sizes: new Uint8Array(space.size), order: new Uint32Array(space.size) };
  const shade = shadesOf(view);
  const front = emphasized(view);
  // A neighbourhood is drawn over the points, which step back without leaving.
  const opaque = (space.size > 60_000 ? 184 : 225) * (view.panel === "near" ? 0.5 : 1);
  const dimmed = view.theme.dark ? 60 : 56;
  for (let i = 0; i < space.size; i++) {
    const { color, weight } = shade(i);
    const back = front !== null && !front.has(i);
    look.colors.set(color, 4 * i);
    look.colors[4 * i + 3] = back ? dimmed : opaque * Math.min(1, weight);
    look.sizes[i] = back ? FULL * 0.8 : Math.min(255, FULL * (front ? 1.35 : 1) * weight);
  }
  orderInto(look.order, view, front);
  look.partial = front !== null || view.panel === "near";
  return look;
}

// The points the others step back for, of the open list first; null where all count alike.
function emphasized(view) {
  if (view.hoveredCluster) return new Set(view.hoveredCluster.members);
  const sets = {
    hits: view.hits,
    lit: view.mode() === "activation" ? view.space.lit.features : null,
    selection: view.features.length ? view.features : null,
  };
  const chosen = sets[view.panel] || sets.hits || sets.lit || sets.selection;
  return chosen ? new Set(chosen) : null;
}

// Last is on top: what is emphasised, and of that what is strongest.
function orderInto(order, view, front) {
  let at = 0;
  for (let i = 0; i < order.length; i++) if (!front?.has(i)) order[at++] = i;
  const last = front ? [...front] : [];
  if (view.mode() === "activation") last.sort((a, b) => view.space.lit.activation[a] - view.space.lit.activation[b]);
  for (const i of last) order[at++] = i;
}

function shadesOf(view) {
  const { space, theme } = view;
  const mode = view.mode();
  const none = { color: theme.none, weight: 0.8 };
  if (mode === "cluster") {
    const palette = HUES[theme.name].map((hue) => ({ color: rgbOf(hue), weight: 1 }));
    return (i) => palette[view.hues.get(space.cluster[i])] || none;
  }
  const ramp = rampOf(RAMPS[mode][theme.name]).map((color) => ({ color, weight: 1 }));
  const values = mode === "activation" ? space.lit.activation : space[mode];
  const span = spanOf(space, mode);
  if (mode === "activation") ramp.forEach((shade, i) => (shade.weight = 1.05 + 1.6 * (i / 255)));
  return (i) => {
    if (mode === "activation" && !(values[i] > 0)) return none;
    const step = stepOn(span, values[i]);
    return step === null ? none : ramp[step];
  };
}

// Points grow with the zoom, slower than the plane between them.
function pointRadius(view) {
  const { camera, space } = view;
  const apart = Math.sqrt((camera.width * camera.height) / Math.max(1, space.size));
  const base = Math.max(0.9, Math.min(4.5, apart * 0.26));
  return Math.min(9, base * Math.max(0.7, camera.zoom() ** 0.42));
}
