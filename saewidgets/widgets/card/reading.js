// The page one reads: everything about the feature shown, top to bottom.
function createMain(view) {
  const title = createTitle(view);
  const notes = make("div", { class: "saew-notes" });
  const silent = make("p", { class: "saew-silence" });
  const tiles = createTiles();
  const histogram = createHistogram(view, (interval) => view.examples.pick(interval));
  const logits = createLogits();
  const fires = createFiresOn();
  const relations = createRelations(view);
  const problem = make("p", { class: "saew-problem", role: "alert" });
  view.examples = createExamples(view);
  view.tester = createTester(view);
  view.marked = () => histogram.mark();
  const page = make("div", { class: "saew-page-of" }, title.node, notes, silent, tiles.node, make("div", { class: "saew-pair" }, histogram.node, logits.node), fires.node, view.tester.node, view.examples.node, relations.node);
  const node = make("div", { class: "saew-reading", tabindex: "-1" }, problem, page);
  page.hidden = problem.hidden = true;

  function paint(card) {
    title.paint(card);
    // That it never fires is said below, at length.
    const told = card.notes.filter((note) => card.count || !note.includes("never fired"));
    notes.replaceChildren(...told.map((note) => make("p", {}, icon("warn"), make("span", {}, note))));
    silent.hidden = card.count > 0;
    silent.textContent = `This feature never fired on the ${card.n_tokens.toLocaleString("en-US")} tokens scanned: there are no examples of it. It may be dead, or rarer than the corpus is long${view.can.has("test") ? "; try a sentence of your own" : ""}.`;
    tiles.paint(card);
    view.examples.paint(card);
    histogram.paint(card);
    histogram.mark();
    logits.paint(card);
    fires.paint(card);
    relations.paint(card);
    page.hidden = false;
  }

  return {
    node,
    paint,
    title,
    relations,
    complain(message) {
      problem.hidden = !message;
      problem.replaceChildren(...(message ? [icon("warn"), make("span", {}, message)] : []));
    },
  };
}
