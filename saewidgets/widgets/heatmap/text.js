// The text itself: a span a token, in blocks the browser lays out only when they are near the screen.
const BLOCK = 200;
const PARAGRAPH = 400;
const AT_ONCE = 5000;
const SLICE_MS = 14;
// Elsewhere a space at the end of a line collapses, and with it the colour that would hang over the edge.
const KEEP = /\t| {2}| $/;
// Start tokens and chat markers are not words of the text: they must not set its direction.
const MARKER = /^<\|?[\w/]+\|?>$/;

function createText(view) {
  const node = make("div", { class: "saew-text", role: "group" });
  const state = { spans: [], steps: new Uint8Array(0), round: 0, roving: null };

  function drawSpan(i, first) {
    const acts = view.acts;
    const token = acts.meta.tokens[i];
    const span = document.createElement("span");
    const kept = KEEP.test(token) || (first && token[0] === " ");
    span.className = "saew-t" + (acts.skipped[i] ? " saew-skip" : "") + (acts.seams.has(i) ? " saew-seam" : "") + (kept ? " saew-keep" : "");
    span.token = i;
    if (acts.skipped[i] || MARKER.test(token)) span.dir = "ltr";
    drawToken(span, token, acts.meta.split[i], view.model.get("show_whitespace"));
    if (state.steps[i]) paintSpan(span, state.steps[i]);
    state.spans[i] = span;
    return span;
  }

  // One paragraph, or the next part of a very long one; returns where the following starts.
  function drawParagraph(block, start, direction) {
    const { size, text, meta } = view.acts;
    const paragraph = make("div", { dir: direction, class: "saew-p" });
    let i = start;
    do paragraph.append(drawSpan(i, i === start));
    while (!meta.tokens[i++].includes("\n") && i < size && text[i] === text[start] && i - start < PARAGRAPH);
    block.append(paragraph);
    return i;
  }

  function drawBlock(start) {
    const { size, text, meta } = view.acts;
    const block = make("div", { class: "saew-block" });
    let i = start;
    let lines = 0;
    let direction = "auto";
    while (i < size && text[i] === text[start] && i - start < BLOCK) {
      const from = i;
      i = drawParagraph(block, from, direction);
      lines += Math.ceil((i - from) / 16);
      // The rest of a cut paragraph reads in the direction its beginning set.
      direction = meta.tokens[i - 1].includes("\n") ? "auto" : directionOf(meta.tokens, from, i);
    }
    block.style.containIntrinsicBlockSize = `auto ${lines * 28}px`;
    if (start > 0 && text[start] !== text[start - 1]) node.append(make("hr", { class: "saew-between" }));
    node.append(block);
    return i;
  }

  function drawFrom(start, round, finished) {
    const until = view.acts.size <= AT_ONCE ? Infinity : performance.now() + SLICE_MS;
    let i = start;
    while (i < view.acts.size && performance.now() < until) i = drawBlock(i);
    if (i >= view.acts.size) return finished();
    setTimeout(() => round === state.round && !view.signal.aborted && drawFrom(i, round, finished), 0);
  }

  function rove(i) {
    const old = state.spans[state.roving];
    const span = state.spans[i];
    // An element that loses its tabindex loses the focus too.
    if (old !== span) for (const name of ["tabindex", "role", "aria-label", "aria-pressed"]) old?.removeAttribute(name);
    state.roving = i;
    if (!span) return;
    span.tabIndex = 0;
    span.setAttribute("role", "button");
    span.setAttribute("aria-label", view.describe(i));
    span.setAttribute("aria-pressed", String(i === view.token));
  }

  return {
    node,
    state,
    draw(finished) {
      const kept = { top: node.scrollTop, roving: state.roving, focused: node.contains(node.getRootNode().activeElement) };
      let finishedAtOnce = false;
      state.round += 1;
      state.spans = new Array(view.acts.size);
      node.replaceChildren();
      const name = `Text of ${count(view.acts.size, "token")}. Arrow keys step, Enter lists the features of a token.`;
      node.setAttribute("aria-label", name);
      if (!view.acts.size) node.append(make("p", { class: "saew-none" }, "No tokens: the text is empty."));
      drawFrom(0, state.round, () => {
        node.scrollTop = kept.top;
        finishedAtOnce = true;
        rove(Math.min(view.token ?? kept.roving ?? 0, view.acts.size - 1));
        if (kept.focused) state.spans[state.roving]?.focus({ preventScroll: true });
        finished();
      });
      if (!finishedAtOnce) rove(0);
    },
    recolour(steps) {
      const old = state.steps;
      const fresh = old.length !== steps.length;
      state.steps = steps;
      for (let i = 0; i < steps.length; i++) {
        if (!fresh && steps[i] !== old[i] && state.spans[i]) paintSpan(state.spans[i], steps[i]);
      }
    },
    prepare(steps) {
      state.steps = steps;
    },
    mark(i, name) {
      node.querySelector(`.${name}`)?.classList.remove(name);
      state.spans[i]?.classList.add(name);
    },
    rove,
    focus(i) {
      rove(i);
      state.spans[i]?.focus();
    },
    reveal(i) {
      const span = state.spans[i];
      if (!span) return;
      const box = node.getBoundingClientRect();
      const at = span.getBoundingClientRect();
      if (at.top < box.top || at.bottom > box.bottom) node.scrollTop += at.top - box.top - node.clientHeight / 2;
    },
  };
}

function directionOf(tokens, start, end) {
  const first = /[\p{L}]/u.exec(tokens.slice(start, end).join(""));
  return first && /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(first[0]) ? "rtl" : "ltr";
}
