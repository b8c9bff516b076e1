// What colours mean. Hues are told apart by colour-blind eyes, and no hue says what a name does not.
const HUES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc6fa4", "#7a5cc2", "#b8860b", "#2aa3c9", "#a23b52", "#5b8c2a", "#4f6d9c"],
  dark: ["#4aa8ff", "#ff8a4c", "#2fd3a0", "#f09ac8", "#ab92f5", "#f2c14e", "#5cd6f0", "#f07a90", "#a4d65e", "#9db8e8"],
};
const RAMPS = {
  density: { light: ["#d9e3ee", "#7fb8c9", "#2f86ac", "#1d4f91", "#24205e"], dark: ["#2c3853", "#35609c", "#3f9dc2", "#8fd8c0", "#f6fbc9"] },
  label_score: { light: ["#e6e1ea", "#b9a3d6", "#8a63bd", "#5f2f9e", "#35096b"], dark: ["#3a3350", "#6a50a7", "#9c74e0", "#caa6f7", "#f7e8ff"] },
  // Low trust is what must be seen.
  trust: { light: ["#b3400e", "#e08a2e", "#dccda0", "#7fb0cf", "#2a6fae"], dark: ["#ff7a3d", "#f0a64a", "#b8b090", "#6aa6cc", "#4c8fd6"] },
  activation: { light: ["#fbd9b5", "#f9b071", "#f27d16", "#d65a05", "#a83a00"], dark: ["#5d3a1c", "#a65a17", "#f27d16", "#ffab57", "#ffe2b8"] },
};
const COLOR_MODES = {
  cluster: { title: "Cluster", field: null, about: "Groups of features that are dense together in feature space; grey belongs to none." },
  density: { title: "Density", field: "density", about: "Share of tokens a feature fires on." },
  label_score: { title: "Label score", field: "label_score", about: "How well a feature’s label predicts unseen examples: 1 is perfectly." },
  trust: { title: "Trust in the map", field: "trust", about: "Whether the points around a feature are truly its neighbours: 1 is yes." },
  activation: { title: "Activation on your sentence", field: null, about: "How strongly a feature fires on the sentence." },
};

function rgbOf(color) {
  if (color.startsWith("#")) return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return (color.match(/[\d.]+/g) || [0, 0, 0]).slice(0, 3).map(Number);
}

// 256 colours between the stops.
function rampOf(stops) {
  const colors = stops.map(rgbOf);
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (colors.length - 1);
    const from = Math.min(colors.length - 2, Math.floor(at));
    return colors[from].map((value, c) => Math.round(value + (colors[from + 1][c] - value) * (at - from)));
  });
}

// The host's theme, read off what it made of our stylesheet.
function themeOf(root) {
  const style = getComputedStyle(root);
  const surface = rgbOf(style.backgroundColor);
  const dark = 0.3 * surface[0] + 0.6 * surface[1] + 0.1 * surface[2] < 128;
  const named = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  return {
    dark, surface, name: dark ? "dark" : "light", ink: style.color, font: style.fontFamily,
    soft: named("--saew-soft", "#5b6472"), accent: named("--saew-accent", "#1f5fc4"), danger: named("--saew-red", "#b42318"),
    ground: style.backgroundColor, none: dark ? [92, 102, 116] : [176, 184, 195],
  };
}

// A hue a cluster, so that clusters beside each other differ.
function huesOf(clusters) {
  const hues = new Map();
  const placed = [];
  for (const cluster of clusters) {
    const nearest = HUES.light.map(() => Infinity);
    for (const other of placed) {
      const off = (other.x - cluster.x) ** 2 + (other.y - cluster.y) ** 2;
      nearest[other.hue] = Math.min(nearest[other.hue], off);
    }
    const free = nearest.indexOf(Infinity);
    const hue = placed.length >= 1500 ? cluster.number % nearest.length : free >= 0 ? free : nearest.indexOf(Math.max(...nearest));
    hues.set(cluster.number, hue);
    if (placed.length < 1500) placed.push({ x: cluster.x, y: cluster.y, hue });
  }
  return hues;
}

// Lowest and highest value a ramp spans. Densities span orders of magnitude.
function spanOf(space, mode) {
  if (mode === "activation") return { low: 0, high: space.lit?.top || 1, log: false };
  const known = space[mode].filter((value) => Number.isFinite(value) && (mode !== "density" || value > 0)).sort();
  if (!known.length) return { low: 0, high: 1, log: false };
  if (mode === "label_score") return { low: 0, high: Math.max(1e-6, Math.min(1, known[known.length - 1])), log: false };
  const low = known[Math.floor(known.length * 0.01)];
  const high = mode === "trust" ? 1 : known[Math.min(known.length - 1, Math.floor(known.length * 0.99))];
  return { low, high: high > low ? high : low + 1e-6, log: mode === "density" };
}

// Where a value stands on its ramp, 0 to 255; null for what is not known.
function stepOn(span, value) {
  if (!Number.isFinite(value) || (span.log && !(value > 0))) return null;
  const at = span.log ? Math.log(value / span.low) / Math.log(span.high / span.low) : (value - span.low) / (span.high - span.low);
  return Math.max(0, Math.min(255, Math.round(255 * at)));
}

function modesOf(space) {
  return Object.keys(COLOR_MODES).filter((mode) => mode === "cluster" || (mode === "activation" ? space.lit : space[mode]));
}
