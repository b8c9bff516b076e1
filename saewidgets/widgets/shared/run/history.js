// The rows of a run, as columns that grow.
const NUMBERS = ["loss", "fvu", "l0", "dead", "lr", "tokens_per_second", "seconds"];
const RATE_ROWS = 60;

function createHistory() {
  const history = { size: 0 };
  for (const name of ["step", "tokens", ...NUMBERS]) history[name] = new Float64Array(256);
  return history;
}

function makeRoom(history, size) {
  if (size <= history.tokens.length) return;
  for (const name of ["step", "tokens", ...NUMBERS]) {
    const wider = new Float64Array(Math.max(size, 2 * history.tokens.length));
    wider.set(history[name]);
    history[name] = wider;
  }
}

// Puts rows behind those that are there; rows from 0 replace them. False where rows between are missing.
function addRows(history, start, rows) {
  if (start > history.size) return false;
  const size = start + rows.step.length;
  if (start > 0 && size <= history.size) return true;
  makeRoom(history, size);
  for (let i = 0; i < rows.step.length; i++) history.tokens[start + i] = rows.tokens[2 * i] + 4294967296 * rows.tokens[2 * i + 1];
  for (const name of ["step", ...NUMBERS]) history[name].set(rows[name], start);
  history.size = size;
  return true;
}

function lastOf(history, name) {
  return history.size ? history[name][history.size - 1] : NaN;
}

// The row nearest to a number of tokens.
function rowAt(history, tokens) {
  let [low, high] = [0, history.size - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (history.tokens[middle] < tokens) low = middle + 1;
    else high = middle;
  }
  return low > 0 && tokens - history.tokens[low - 1] < history.tokens[low] - tokens ? low - 1 : low;
}

// Tokens a second over the last rows; a gap far longer than the others was a pause and does not count.
function rateOf(history) {
  const first = Math.max(1, history.size - RATE_ROWS);
  const gaps = [];
  for (let i = first; i < history.size; i++) gaps.push([history.seconds[i] - history.seconds[i - 1], history.tokens[i] - history.tokens[i - 1]]);
  const good = gaps.filter(([seconds, tokens]) => seconds > 0 && tokens > 0).sort((a, b) => a[0] - b[0]);
  if (!good.length) return lastOf(history, "tokens_per_second") || NaN;
  const typical = good[good.length >> 1][0];
  const kept = good.filter(([seconds]) => seconds <= 8 * typical);
  return kept.reduce((sum, gap) => sum + gap[1], 0) / kept.reduce((sum, gap) => sum + gap[0], 0);
}
