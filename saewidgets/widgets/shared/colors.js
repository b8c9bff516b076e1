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

function paintSpan(span, step) {
  span.style.backgroundColor = PALETTE[step];
  span.classList.toggle("saew-hot", step >= HOT_STEP);
}
