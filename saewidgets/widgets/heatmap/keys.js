// Stepping through tokens with the keyboard.
function stepTokens(event, view) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { text, acts } = view;
  const at = event.target.closest?.(".saew-t")?.token;
  if (at === undefined) return;
  const backwards = getComputedStyle(text.state.spans[at].parentElement).direction === "rtl";
  const steps = {
    ArrowRight: () => at + (backwards ? -1 : 1),
    ArrowLeft: () => at + (backwards ? 1 : -1),
    ArrowDown: () => nextLine(text.state.spans, at, 1),
    ArrowUp: () => nextLine(text.state.spans, at, -1),
    Home: () => 0,
    End: () => acts.size - 1,
  };
  if (steps[event.key]) view.step(Math.max(0, Math.min(acts.size - 1, steps[event.key]())));
  else if (event.key === "Enter" || event.key === " ") view.openList(at);
  else if (event.key === "Escape") view.select(null);
  else return;
  event.preventDefault();
}

// The token nearest above or below; `way` is -1 or 1.
function nextLine(spans, at, way) {
  const from = spans[at].getBoundingClientRect();
  const middle = (from.left + from.right) / 2;
  let best = at;
  let distance = Infinity;
  let line = null;
  for (let i = at + way; i >= 0 && i < spans.length && spans[i]; i += way) {
    const box = spans[i].getBoundingClientRect();
    if (Math.abs(box.top - from.top) < 4) continue;
    line ??= box.top;
    if (Math.abs(box.top - line) >= 4) break;
    const off = Math.abs((box.left + box.right) / 2 - middle);
    if (off < distance) [best, distance] = [i, off];
  }
  return best;
}
