// White to orange in steps: a span is rewritten only when its step changes.
const STEPS = 48;
// From here on dark ink reads better than light, on a dark page; on a light one ink is dark throughout.
const HOT_STEP = 38;
// The lowest step is a visible tint, so that "fires a little" differs from "does not fire".
const PALETTE = Array.from({ length: STEPS + 1 }, (_, i) => (i ? `rgba(242, 125, 22, ${(0.07 + (0.85 * i) / STEPS).toFixed(3)})` : ""));

function stepOf(value, full) {
  if (!(value > 0) || !(full > 0)) return 0;
  return Math.max(1, Math.min(STEPS, Math.round((value / full) * STEPS)));
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

function paintSpan(span, step) {
  span.style.backgroundColor = PALETTE[step];
  span.classList.toggle("saew-hot", step >= HOT_STEP);
}
