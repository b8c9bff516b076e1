// Numbers as a person would say them.
const SUFFIXES = [[1e9, "B"], [1e6, "M"], [1e3, "k"]];

function shortCount(value) {
  if (!Number.isFinite(value)) return "–";
  const [unit, suffix] = SUFFIXES.find(([size]) => Math.abs(value) >= size) || [1, ""];
  return `${Number((value / unit).toPrecision(3))}${suffix}`;
}

function wholeCount(value) {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "–";
}

function percent(share, digits = 0) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : "–";
}

// A share of samples, in three digits.
function percentBrief(share) {
  return `${brief(100 * share)} %`;
}

// Elapsed time, to the second.
function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (h) return `${h} h ${String(m).padStart(2, "0")} min`;
  return m ? `${m} min ${String(s).padStart(2, "0")} s` : `${s} s`;
}

// Time left, no finer than it is known.
function roughly(seconds) {
  if (!Number.isFinite(seconds)) return "estimating…";
  if (seconds < 3) return "a moment";
  if (seconds < 60) return `${Math.ceil(seconds / 5) * 5} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}
