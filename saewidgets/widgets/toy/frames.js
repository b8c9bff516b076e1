// The planted directions, and what was learnt of them at moments of the training.
function createFrames() {
  return { ready: false, kept: [], newest: null };
}

// A blob holds frames, all of them or the newest, and with the first of them the scene that never changes.
function addFrames(store, blob, whole) {
  const { meta } = blob;
  if (meta.n) Object.assign(store, { ready: true, n: meta.n, d: meta.d_sae, dIn: meta.d_in, recovered: meta.recovered, order: blob.order, frequency: blob.frequency, planted: blob.planted, points: blob.points });
  if (!store.ready || !blob.frame_number) return;
  if (whole) store.kept = [];
  const { n, d } = store;
  for (let i = 0; i < blob.frame_number.length; i++) {
    const frame = {
      number: blob.frame_number[i],
      tokens: blob.frame_tokens[2 * i] + 4294967296 * blob.frame_tokens[2 * i + 1],
      cosine: blob.cosine.subarray(i * n * d, (i + 1) * n * d),
      matched: blob.matched.subarray(i * n, (i + 1) * n),
      best: blob.best.subarray(i * n, (i + 1) * n),
      decoder: blob.decoder.subarray(i * 2 * d, (i + 1) * 2 * d),
    };
    if (!whole && store.newest && frame.number <= store.newest.number) continue;
    if (i < meta.kept) store.kept.push(frame);
    store.newest = frame;
  }
}

const LOST = 0.7;

function judge(store, cosine) {
  return cosine >= store.recovered ? "found" : cosine >= LOST ? "partly" : "lost";
}

function summaryOf(store, frame) {
  const sums = { found: [0, 0], missing: [0, 0] };
  let total = 0;
  for (let i = 0; i < store.n; i++) {
    const kind = sums[frame.matched[i] >= store.recovered ? "found" : "missing"];
    kind[0]++;
    kind[1] += store.frequency[i];
    total += frame.matched[i];
  }
  const usual = ([many, sum]) => (many ? sum / many : NaN);
  return { found: sums.found[0], mean: total / store.n, oftenFound: usual(sums.found), oftenMissing: usual(sums.missing) };
}
