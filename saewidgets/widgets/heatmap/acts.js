// The data of one heatmap in the browser: what `wire.py` packed, with columns and lists made on demand.
function readActs(blob, number) {
  const acts = unpack(blob);
  const maxima = new Map();
  (acts.known || []).forEach((feature, i) => maxima.set(feature, acts.maximum[i]));
  return {
    ...acts,
    number,
    size: acts.text.length,
    maxima: acts.maximum ? maxima : null,
    seams: new Set(acts.meta.seams),
    labels: acts.meta.labels,
    columns: new Map(),
    lists: new Map(),
  };
}

// Activation of one feature on every token; null where the kernel has yet to send it.
function columnOf(acts, feature) {
  if (!acts.columns.has(feature) && acts.meta.whole) {
    const column = new Float32Array(acts.size);
    for (let i = 0; i < acts.size; i++) {
      for (let j = acts.offsets[i]; j < acts.offsets[i + 1]; j++) {
        if (acts.indices[j] === feature) column[i] = acts.values[j];
      }
    }
    acts.columns.set(feature, column);
  }
  return acts.columns.get(feature) || null;
}

// Features firing on one token as [feature, value], strongest first; null where the kernel has yet to send them.
function listOf(acts, token) {
  if (!acts.lists.has(token) && acts.meta.whole) {
    const rows = [];
    for (let j = acts.offsets[token]; j < acts.offsets[token + 1]; j++) rows.push([acts.indices[j], acts.values[j]]);
    acts.lists.set(token, rows);
  }
  return acts.lists.get(token) || null;
}

function learn(acts, meta) {
  Object.assign(acts.labels, meta.labels);
  for (const [feature, maximum] of Object.entries(meta.maxima)) acts.maxima?.set(Number(feature), maximum);
}

function addColumn(acts, { meta, token, value }) {
  learn(acts, meta);
  const column = new Float32Array(acts.size);
  token.forEach((i, j) => (column[i] = value[j]));
  acts.columns.set(meta.feature, column);
}

function addList(acts, { meta, feature, value }) {
  learn(acts, meta);
  acts.lists.set(meta.token, Array.from(feature, (number, j) => [number, value[j]]));
}

// What is shown: the chosen feature's column, or the strongest of every token.
function shownValues(acts, feature) {
  return feature === null ? acts.height : columnOf(acts, feature);
}

function tokenAt(acts, position) {
  if (!position) return null;
  for (let i = 0; i < acts.size; i++) {
    if (acts.text[i] === position[0] && acts.position[i] === position[1]) return i;
  }
  return null;
}

function nameOf(acts, feature) {
  return acts.labels[feature] || `Feature ${feature}`;
}

// Firing tokens and the strongest value among tokens that count.
function summarize(acts, values) {
  let firing = 0;
  let top = 0;
  for (let i = 0; i < acts.size; i++) {
    if (acts.skipped[i] || !(values[i] > 0)) continue;
    firing += 1;
    if (values[i] > top) top = values[i];
  }
  return { firing, top };
}

// One step a token; skipped tokens have none.
function stepsOf(acts, feature, values, byFeature) {
  const steps = new Uint8Array(acts.size);
  const known = byFeature && acts.maxima;
  const full = known && feature !== null ? acts.maxima.get(feature) : summarize(acts, values).top;
  for (let i = 0; i < acts.size; i++) {
    if (acts.skipped[i]) continue;
    steps[i] = stepOf(values[i], known && feature === null ? acts.maxima.get(acts.strongest[i]) : full);
  }
  return steps;
}

// A token as one line of text.
function spell(acts, i) {
  return spellToken(acts.meta.tokens[i], acts.meta.split[i]);
}
