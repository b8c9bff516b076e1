// What was written and swept, as wire.py packed it.
function withTokens(row, data) {
  const n = row.tokens.length;
  const k = row.features.length;
  return {
    ...row,
    modified: data.modified.subarray(row.at, row.at + n),
    skipped: data.skipped.subarray(row.at, row.at + n),
    asked: data.requested.subarray(row.cell, row.cell + n * k),
    read: data.readback.subarray(row.cell, row.cell + n * k),
  };
}

function readWritten(data) {
  const { written } = data.meta;
  if (!written) return null;
  const rows = written.rows && { bare: withTokens(written.rows.bare, data), steered: withTokens(written.rows.steered, data) };
  return { ...written, rows };
}

function readSweeps(data) {
  return (data.meta.sweeps || []).map((sweep) => ({ ...sweep, rows: sweep.rows.map((row) => withTokens(row, data)) }));
}

// A piece continues its text at a place of its own, so that a piece that comes twice changes nothing.
function addPieces(written, { starts, pieces }) {
  for (const row of ["bare", "steered"]) {
    if (pieces[row] && written.texts[row].length >= starts[row]) written.texts[row] = written.texts[row].slice(0, starts[row]) + pieces[row];
  }
}

function sameSettings(one, other) {
  return Object.keys(one).every((name) => one[name] === other[name]);
}

function sameStrengths(one, other) {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

// Whether a text or sweep answers what is asked now.
function answers(view, made) {
  if (!view.live) return made.kind === view.model.get("kind");
  return made.prompt === view.model.get("prompt") && sameTurns(made.turns, turnsOf(view.model)) && made.kind === view.model.get("kind") && sameSettings(made.settings, view.model.get("settings"));
}

function sweepOf(view, feature) {
  const sweep = view.sweeps.get(Number(feature));
  return sweep && answers(view, sweep) ? sweep : null;
}

function rowsOf(sweep, kind) {
  return sweep.rows.filter((row) => row.kind === kind);
}

function nearestRow(sweep, kind, strength) {
  let best = null;
  for (const row of rowsOf(sweep, kind)) {
    if (!best || (row.strength !== null && Math.abs(row.strength - strength) < Math.abs(best.strength - strength))) best = row;
  }
  return best;
}

// The pair of texts that belongs to the sliders as they stand; `from` says where they come from.
function shownTexts(view) {
  const strengths = view.model.get("strengths");
  const on = Object.keys(strengths);
  const { written } = view;
  const writing = view.status.state === "writing";
  const swept = on.length === 1 ? sweepOf(view, on[0]) : null;
  const exact = written && answers(view, written) && sameStrengths(written.strengths, strengths) && !written.changed;
  const row = swept && (nearestRow(swept, view.compare, strengths[on[0]]) || nearestRow(swept, "steered", strengths[on[0]]));
  // A text written at a strength the sweep lacks is nearer the hand than the sweep's nearest.
  if (row && !writing && !(exact && view.compare === "steered" && row.strength !== strengths[on[0]])) {
    return { from: "swept", bare: nearestRow(swept, "bare", 0), steered: row, sweep: swept };
  }
  if (!writing && !on.length && !(exact && written)) {
    const any = view.model.get("features").map((feature) => sweepOf(view, feature)).find(Boolean);
    if (any) return { from: "off", bare: nearestRow(any, "bare", 0), steered: nearestRow(any, "bare", 0), sweep: any };
  }
  if (!written) return null;
  const rows = written.rows || { bare: { text: written.texts.bare }, steered: { text: written.texts.steered } };
  return { from: "written", ...rows, stale: !writing && !exact, written };
}
