// Round numbers on axes, and curves thinned to what a screen can show.
const STEPS = [1, 2, 2.5, 5, 10];

function ticksOf(low, high, most) {
  if (!(high > low)) return [low];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * STEPS.find((step) => step * power >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const digit of [1, 2, 5]) {
      const tick = Number((digit * 10 ** power).toPrecision(3));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  const decades = ticks.filter((tick) => String(tick.toExponential()).startsWith("1e"));
  return ticks.length > 6 && decades.length > 1 ? decades : ticks;
}

// The token axis doubles as the run goes on: early rows fill it, and it moves a few times only.
function tokenAxis(history, status, over) {
  const tokens = lastOf(history, "tokens") || 0;
  if (over && tokens) return tokens;
  let end = Math.max(status.total_tokens, tokens, 1);
  while (tokens > 0 && end / 2 >= tokens * 1.02) end /= 2;
  return end;
}

// One bucket a pixel column or two: mean to draw as a line, least and greatest so that no spike is lost.
function thin(xs, ys, size, end, width) {
  const buckets = [];
  let last = null;
  for (let i = 0; i < size; i++) {
    const y = ys[i];
    if (!Number.isFinite(y)) continue;
    const column = Math.floor((xs[i] / end) * width / 1.5);
    if (last && last.column === column) {
      last.low = Math.min(last.low, y);
      last.high = Math.max(last.high, y);
      last.sum += y;
      last.count++;
      last.x = xs[i];
    } else buckets.push((last = { column, x: xs[i], low: y, high: y, sum: y, count: 1 }));
  }
  return buckets;
}

// From what to what the y axis goes. A first spike far above the rest is cut off, and said so, on a linear axis.
function valueAxis(buckets, log, floor) {
  const kept = log ? buckets.filter((bucket) => bucket.low > 0) : buckets;
  if (!kept.length) return { low: log ? 0.1 : 0, high: 1.08 * floor || 1, cut: NaN };
  const low = Math.min(...kept.map((bucket) => bucket.low));
  const high = Math.max(...kept.map((bucket) => bucket.high), floor);
  if (log) return { low: low / 1.15, high: high * 1.15, cut: NaN };
  const heights = kept.map((bucket) => bucket.high).sort((a, b) => a - b);
  const usual = 1.6 * heights[Math.floor(0.9 * (heights.length - 1))];
  const cut = kept.length > 20 && high > 2 * usual;
  return { low: Math.min(0, low), high: (cut ? Math.max(usual, floor) : high) * 1.08 || 1, cut: cut ? high : NaN };
}
