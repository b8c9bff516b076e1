// Which features the list shows, and in what order.
const DENSITIES = [
  ["any density", 0, Infinity],
  ["over 1 %", 0.01, Infinity],
  ["0.1 to 1 %", 0.001, 0.01],
  ["0.01 to 0.1 %", 0.0001, 0.001],
  ["under 0.01 %", Number.MIN_VALUE, 0.0001],
  ["never fires", -1, Number.MIN_VALUE],
];
const SORTS = [
  ["number", "feature", false],
  ["density", "density", true],
  ["label score", "score", true],
  ["maximum", "maximum", true],
];

// `wanted`: query, density (of DENSITIES), sort (of SORTS), descending, only (features or null), hits (of the kernel's search).
function orderRows(list, wanted) {
  const kept = filterRows(list, wanted);
  const [, key] = SORTS[wanted.sort];
  const way = wanted.descending ? -1 : 1;
  // What was not measured comes last either way.
  const keys = Float64Array.from(list[key], (value) => (Number.isNaN(value) ? Infinity : way * value));
  kept.sort((a, b) => keys[a] - keys[b] || a - b || 0);
  return bestFirst(list, kept, wanted);
}

function filterRows(list, { query, density, only }) {
  const [, low, high] = DENSITIES[density];
  const words = query.trim().toLowerCase();
  const rows = only ? only.map(list.rowOf).filter((row) => row !== undefined) : list.feature.keys();
  const kept = [];
  for (const row of rows) {
    const often = list.density[row];
    if (density && !(often >= low && often < high)) continue;
    if (words && !list.lower[row].includes(words) && !String(list.feature[row]).startsWith(words)) continue;
    kept.push(row);
  }
  return kept;
}

// A number typed in full, then the kernel's hits by their rank, then the rest as sorted.
function bestFirst(list, kept, { query, hits, only, density }) {
  const words = query.trim();
  if (!words) return Uint32Array.from(kept);
  const [, low, high] = DENSITIES[density];
  const chosen = only && new Set(only);
  const allowed = (row) => row !== undefined && (!chosen || chosen.has(list.feature[row])) && (!density || (list.density[row] >= low && list.density[row] < high));
  const exact = /^\d+$/.test(words) ? [list.rowOf(Number(words))] : [];
  const ranked = hits?.query.trim() === words ? Array.from(hits.features, list.rowOf) : [];
  return Uint32Array.from(new Set([...[...exact, ...ranked].filter(allowed), ...kept]));
}
