// The neighbourhood of the chosen feature: asked once a distance, cut to k as often as the slider moves.
const NOTHING = { features: [], distances: [], ranks: {}, false: [], known: false, failed: null };

function createNeighborhood(view) {
  const { model } = view;
  let shown = { key: "", value: NOTHING };

  const distance = () => model.get("distance");
  const key = () => `${distance()} ${view.feature}`;

  function answer() {
    const { space, feature } = view;
    if (!space.answers.has(key())) {
      const stored = storedNeighbors(space, feature, distance());
      if (stored) space.answers.set(key(), stored);
    }
    return space.answers.get(key()) || null;
  }

  function cut(found, k) {
    const ranks = Object.fromEntries(Object.entries(found.ranks).map(([name, all]) => [name, Array.from(all.slice(0, k))]));
    if (found.failed) return { ...NOTHING, known: true, failed: found.failed };
    return { features: found.features.slice(0, k), distances: found.distances.slice(0, k), ranks, false: falseNeighbors(view.space, found, Math.min(k, view.space.meta.near)), known: true, failed: null };
  }

  return {
    // Asks for what is missing; the answer redraws.
    ask() {
      if (view.feature === null || !view.space) return;
      const found = answer();
      const k = model.get("k");
      const enough = found && (found.failed ? k >= found.asked : found.features.length >= k || found.asked >= k);
      if (enough || view.space.meta.tables.length) return;
      model.send({ type: "neighbors", view: view.id, feature: view.feature, distance: distance(), k });
    },
    take(blob) {
      const found = receivedNeighbors(blob);
      found.asked = unpack(blob).meta.k;
      view.space.answers.set(`${found.distance} ${found.feature}`, found);
      if (view.space.answers.size > 500) view.space.answers.delete(view.space.answers.keys().next().value);
      shown.key = "";
    },
    // Kept as an answer: the same question, or for more, would fail again.
    fail([feature, distance, k], message) {
      view.space.answers.set(`${distance} ${feature}`, { feature, distance, features: [], distances: [], ranks: {}, truth: new Map(), asked: k, failed: message });
      shown.key = "";
    },
    near() {
      if (view.feature === null || !view.space) return NOTHING;
      const k = model.get("k");
      const wanted = `${key()} ${k}`;
      if (shown.key === wanted) return shown.value;
      const found = answer();
      if (!found) return NOTHING;
      shown = { key: wanted, value: cut(found, k) };
      return shown.value;
    },
    forget: () => (shown = { key: "", value: NOTHING }),
  };
}

// A frame around the feature and most of its neighbours: one stray must not shrink the others to a dot.
function neighborhoodBox(space, feature, near) {
  const off = (i) => (space.x[i] - space.x[feature]) ** 2 + (space.y[i] - space.y[feature]) ** 2;
  const close = near.features.slice().sort((a, b) => off(a) - off(b)).slice(0, Math.ceil(near.features.length * 0.8));
  return boundsOf(space, [feature, ...close]);
}
