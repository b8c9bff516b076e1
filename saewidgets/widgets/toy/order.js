// Which column of the picture an SAE feature stands in: below the planted direction it is closest to, so that
// learning shows as a diagonal. Each direction takes one feature, the closest pairs first.
const WEAK = 0.35 * 127;
const STICKY = 0.12 * 127;

// `before`: the columns of the last picture; a feature leaves its column for a clearly better one only.
function placeColumns(store, frame, before = null) {
  const { n, d, order } = store;
  const pairs = [];
  for (let row = 0; row < n; row++) {
    const offset = order[row] * d;
    for (let feature = 0; feature < d; feature++) {
      const cosine = frame.cosine[offset + feature];
      if (cosine >= WEAK) pairs.push([cosine + (before && before[feature] === row ? STICKY : 0), row, feature]);
    }
  }
  pairs.sort((a, b) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
  const rowOf = new Int32Array(d).fill(-1);
  const taken = new Uint8Array(n);
  for (const [, row, feature] of pairs) {
    if (taken[row] || rowOf[feature] >= 0) continue;
    taken[row] = 1;
    rowOf[feature] = row;
  }
  return d >= n ? fillGaps(rowOf, before, leaning(store, frame)) : squeeze(rowOf);
}

// The row each feature leans to most, whether or not that direction took it.
function leaning(store, frame) {
  const best = new Int32Array(store.d);
  for (let feature = 0; feature < store.d; feature++) {
    for (let row = 1; row < store.n; row++) {
      if (frame.cosine[store.order[row] * store.d + feature] > frame.cosine[store.order[best[feature]] * store.d + feature]) best[feature] = row;
    }
  }
  return best;
}

// Features nobody took stay where they were, or go to free columns in the order of what they lean to.
function fillGaps(rowOf, before, leans) {
  const used = new Set(rowOf.filter((row) => row >= 0));
  const loose = [...rowOf.keys()].filter((feature) => rowOf[feature] < 0);
  const homeless = [];
  for (const feature of loose) {
    const home = before ? before[feature] : -1;
    if (home < 0 || used.has(home)) homeless.push(feature);
    else {
      used.add(home);
      rowOf[feature] = home;
    }
  }
  homeless.sort((a, b) => leans[a] - leans[b] || a - b);
  let column = 0;
  for (const feature of homeless) {
    while (used.has(column)) column++;
    used.add(column);
    rowOf[feature] = column;
  }
  return rowOf;
}

// Fewer features than directions: no gaps, still in the order of the rows.
function squeeze(rowOf) {
  const features = [...rowOf.keys()].sort((a, b) => (rowOf[a] < 0) - (rowOf[b] < 0) || rowOf[a] - rowOf[b] || a - b);
  const place = new Int32Array(rowOf.length);
  features.forEach((feature, column) => (place[feature] = column));
  return place;
}
