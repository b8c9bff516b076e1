// The data of one map in the browser: what `wire.py` packed, and the few sums every part needs.
const STEPS_OF_DISTANCE = 65535 / 2;

function readSpace(blob, number) {
  const space = unpack(blob);
  space.number = number;
  space.size = space.x.length;
  space.answers = new Map();
  space.clusters = clustersOf(space);
  space.lit = null;
  if (space.lit_features) space.lit = litOf(space, space.lit_features, space.lit_values, space.meta.text);
  return space;
}

function nameOf(space, feature) {
  return space.meta.labels[feature] || `Feature ${feature}`;
}

function clusterNameOf(space, feature) {
  const number = space.cluster[feature];
  return number < 0 ? "" : space.meta.cluster_names[number] || `Cluster ${number}`;
}

function boundsOf(space, features = null) {
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  const add = (i) => {
    box.left = Math.min(box.left, space.x[i]);
    box.right = Math.max(box.right, space.x[i]);
    box.bottom = Math.min(box.bottom, space.y[i]);
    box.top = Math.max(box.top, space.y[i]);
  };
  if (features) features.forEach(add);
  else for (let i = 0; i < space.size; i++) add(i);
  return Number.isFinite(box.left) ? box : { left: -1, right: 1, bottom: -1, top: 1 };
}

// What the whole map is framed by: a handful of strays far out must not shrink the rest.
function homeOf(space) {
  if (space.size < 2000) return boundsOf(space);
  const inner = (values) => {
    const sorted = values.slice().sort();
    const out = Math.floor(space.size * 0.002);
    const [low, high] = [sorted[out], sorted[space.size - 1 - out]];
    const rest = 0.04 * (high - low);
    return [Math.max(sorted[0], low - rest), Math.min(sorted[space.size - 1], high + rest)];
  };
  const [left, right] = inner(space.x);
  const [bottom, top] = inner(space.y);
  return { left, right, bottom, top };
}

// Every cluster with its members and the member nearest to their mean, largest first.
function clustersOf(space) {
  const clusters = space.meta.cluster_names.map((name, number) => ({ number, name: name || `Cluster ${number}`, members: [], x: 0, y: 0 }));
  for (let i = 0; i < space.size; i++) {
    const cluster = clusters[space.cluster[i]];
    if (!cluster) continue;
    cluster.members.push(i);
    cluster.x += space.x[i];
    cluster.y += space.y[i];
  }
  const filled = clusters.filter((cluster) => cluster.members.length);
  for (const cluster of filled) placeCluster(space, cluster);
  return filled.sort((a, b) => b.members.length - a.members.length || a.number - b.number);
}

// A mean may fall between two islands; a name stands on a member.
function placeCluster(space, cluster) {
  const x = cluster.x / cluster.members.length;
  const y = cluster.y / cluster.members.length;
  let best = Infinity;
  for (const i of cluster.members) {
    const off = (space.x[i] - x) ** 2 + (space.y[i] - y) ** 2;
    if (off >= best) continue;
    best = off;
    cluster.x = space.x[i];
    cluster.y = space.y[i];
  }
}

function litOf(space, features, values, text) {
  const activation = new Float32Array(space.size);
  features.forEach((feature, i) => (activation[feature] = values[i]));
  const order = [...features.keys()].sort((a, b) => values[b] - values[a] || features[a] - features[b]);
  return { text, activation, features: order.map((i) => features[i]), top: order.length ? values[order[0]] : 0 };
}

// Neighbours -------------------------------------------------------------------------------------------------

// The answer a saved page carries; null where only a kernel knows.
function storedNeighbors(space, feature, distance) {
  const place = space.meta.tables.indexOf(distance);
  if (place < 0) return null;
  const [all, away] = [space[`near_${place}`], space[`away_${place}`]];
  const width = all.length / space.size;
  const features = Array.from(all.subarray(feature * width, (feature + 1) * width));
  const kept = features.indexOf(feature) < 0 ? width : features.indexOf(feature); // itself marks unused places
  const distances = Array.from(away.subarray(feature * width, feature * width + kept), (step) => step / STEPS_OF_DISTANCE);
  return { feature, distance, features: features.slice(0, kept), distances, ranks: {}, truth: place === 0 ? storedTruth(space, feature) : new Map() };
}

// What is known about the points beside it on the map: number → { distance, rank }.
function storedTruth(space, feature) {
  const truth = new Map();
  if (!space.planar) return truth;
  const width = space.planar.length / space.size;
  for (let j = feature * width; j < (feature + 1) * width; j++) {
    truth.set(space.planar[j], { distance: space.planar_away[j] / STEPS_OF_DISTANCE, rank: space.planar_ranks?.[j] || null });
  }
  return truth;
}

function receivedNeighbors(blob) {
  const { meta, features, distances, planar, planar_distances: away, planar_ranks: rank, ...rest } = unpack(blob);
  const truth = new Map();
  planar?.forEach((i, j) => truth.set(i, { distance: away[j], rank: rank ? rank[j] : null }));
  const ranks = Object.fromEntries(meta.ranks.map((name, i) => [name, rest[`rank_${i}`]]));
  return { feature: meta.feature, distance: meta.distance, features: Array.from(features), distances: Array.from(distances), ranks, truth };
}

// Nearest on the map, nearest first.
function planarNearest(space, feature, k) {
  const [x, y] = [space.x[feature], space.y[feature]];
  const best = [];
  for (let i = 0; i < space.size; i++) {
    if (i === feature) continue;
    const off = (space.x[i] - x) ** 2 + (space.y[i] - y) ** 2;
    if (best.length === k && off >= best[k - 1][0]) continue;
    let at = best.length;
    while (at > 0 && best[at - 1][0] > off) at--;
    best.splice(at, 0, [off, i]);
    if (best.length > k) best.pop();
  }
  return best.map(([, i]) => i);
}

// Beside it on the map, yet not among its `near` truly nearest.
function falseNeighbors(space, answer, k) {
  const near = space.meta.near;
  const truly = new Set(answer.features.slice(0, near));
  return planarNearest(space, answer.feature, k)
    .filter((i) => !truly.has(i))
    .map((i) => ({ feature: i, distance: null, rank: null, ...answer.truth.get(i) }));
}
