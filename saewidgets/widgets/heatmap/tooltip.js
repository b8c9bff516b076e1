// What a token is and what fires on it, beside the pointer or the focus.
function createTooltip(view, root) {
  const box = floating(root, "saew-tip", { role: "tooltip" });

  function lines(i) {
    const { acts, feature } = view;
    const token = make("bdi", { class: "saew-tip-token" });
    drawPieces(token, piecesOf(acts.meta.tokens[i], acts.meta.split[i], true));
    const where = `${acts.meta.texts > 1 ? `text ${acts.text[i]}, ` : ""}position ${acts.position[i]}`;
    const value = view.valueOf(i);
    const found = [make("div", { class: "saew-tip-head" }, token, make("span", {}, where))];
    const which = feature === null ? acts.strongest[i] : feature;
    if (value > 0) {
      found.push(make("div", { class: "saew-tip-value" }, make("b", {}, brief(value)), make("span", {}, nameOf(acts, which)),
        acts.labels[which] ? make("span", { class: "saew-number" }, String(which)) : null));
    } else found.push(make("div", { class: "saew-faint" }, value === null ? "loading…" : feature === null ? "no feature fires" : "does not fire here"));
    for (const note of notesOn(acts, i)) found.push(make("div", { class: "saew-faint" }, note));
    return found;
  }

  return {
    show(i) {
      const span = view.text.state.spans[i];
      if (!span) return;
      box.replaceChildren(...lines(i));
      showAt(box, span.getClientRects()[0] || span.getBoundingClientRect());
    },
    hide: () => hide(box),
  };
}

function notesOn(acts, i) {
  const notes = [];
  if (acts.skipped[i]) notes.push("Start token or attention sink: left out of the colour scale and of maxima.");
  if (acts.seams.has(i)) notes.push("A new context window starts here: the model saw nothing of what stands before.");
  const split = acts.meta.split[i];
  if (split) notes.push(`Part ${split[0]} of ${split[1]} of ${split[2]} · bytes ${acts.meta.tokens[i]}`);
  return notes;
}
