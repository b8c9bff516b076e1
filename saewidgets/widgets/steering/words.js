// Words a person reads: units, numbers, and where two texts differ.
Object.assign(ICONS, {
  plus: "M8 3.5v9M3.5 8h9",
  code: "M5.5 4.5L2 8l3.5 3.5M10.5 4.5L14 8l-3.5 3.5",
  sweep: "M2 12.5c3 0 3-9 6-9s3 6 6 6",
  reset: "M3.2 8a4.8 4.8 0 1 0 1.6-3.6M4.6 1.9v2.7h2.7",
  copy: "M6 6h7v7H6zM3 10V3h7",
  move: "M3 8h10M10 5l3 3-3 3",
});

const UNITS = { clamp: "× max", at_least: "× max", add: "× ‖x‖" };
const UNIT_TITLES = {
  clamp: "Multiples of the feature's own maximum: 1 is the strongest it was ever seen",
  at_least: "Multiples of the feature's own maximum: held there or above",
  add: "Fraction of the median residual norm, along the feature's decoder direction",
};
const STEPS = { clamp: 0.1, at_least: 0.1, add: 0.01 };

function signed(value) {
  const shown = String(Math.abs(Number(value.toFixed(2))));
  if (shown === "0") return "0";
  return `${value < 0 ? "−" : "+"}${shown}`;
}

function strengthText(value, kind) {
  if (value === 0 && kind === "clamp") return "0, ablated";
  return `${signed(value)} ${UNITS[kind]}`;
}

function nameOf(view, feature) {
  return view.model.get("_labels")[feature]?.label || `Feature ${feature}`;
}

function said(text, limit = 160) {
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length > limit ? `${flat.slice(0, limit)}…` : flat;
}

// Words, spaces and marks, one after another.
function wordsOf(text) {
  return text.match(/\s+|[\p{L}\p{M}\p{N}_'’]+|[^\s\p{L}\p{M}\p{N}_]/gu) || [];
}

// Which words of `a` and of `b` stand in the other too, in the same order (longest common subsequence).
function partners(a, b) {
  const [inA, inB] = [new Uint8Array(a.length), new Uint8Array(b.length)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) inA[start] = inB[start++] = 1;
  const [n, m] = [a.length - start, b.length - start];
  // A table larger than this takes longer than a frame.
  if (!n || !m || n * m > 400_000) return [inA, inB];
  const best = new Uint16Array((n + 1) * (m + 1));
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      best[i * (m + 1) + j] = a[start + i] === b[start + j]
        ? best[(i + 1) * (m + 1) + j + 1] + 1
        : Math.max(best[(i + 1) * (m + 1) + j], best[i * (m + 1) + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < n && j < m; ) {
    if (a[start + i] === b[start + j]) inA[start + i++] = inB[start + j++] = 1;
    else if (best[(i + 1) * (m + 1) + j] >= best[i * (m + 1) + j + 1]) i++;
    else j++;
  }
  return [inA, inB];
}

// Runs of [text, differs] for both texts; spaces between two differing words differ with them.
function differences(one, other) {
  const [a, b] = [wordsOf(one), wordsOf(other)];
  const solid = (words) => words.filter((word) => word.trim());
  const [inA, inB] = partners(solid(a), solid(b));
  const runs = (words, shared) => {
    const found = [];
    let at = 0;
    let space = "";
    for (const word of words) {
      if (!word.trim()) {
        space += word;
        continue;
      }
      const differs = !shared[at++];
      const last = found[found.length - 1];
      if (last && last[1] === differs) last[0] += space + word;
      else {
        if (space) found.push([space, false]);
        found.push([word, differs]);
      }
      space = "";
    }
    if (space) found.push([space, false]);
    return found;
  };
  return [runs(a, inA), runs(b, inB)];
}
