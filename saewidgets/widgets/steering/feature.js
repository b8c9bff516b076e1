// A feature's card: switch, name, slider, what it does; and the list of cards.
function createCard(view, feature) {
  const { model } = view;
  const stop = new AbortController();
  const signal = AbortSignal.any([view.signal, stop.signal]);
  const dial = createDial(view, feature, signal);
  const dose = createDose(view, feature, dial, signal);
  const name = make("span", { class: "saew-feature-name", dir: "auto" });
  const number = make("span", { class: "saew-number" });
  const pick = button({ class: "saew-pick" }, name, number);
  const measure = button({ class: "saew-tool saew-measure" }, icon("sweep"), make("span", {}, "Dose–response"));
  const remove = button({ class: "saew-remove", title: "Take this feature away" }, icon("cross"));
  const progress = make("div", { class: "saew-sweep-progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "Sweep", hidden: true }, make("span"));
  const note = make("p", { class: "saew-feature-note", dir: "auto", hidden: true });
  const node = make("article", { class: "saew-feature" },
    make("div", { class: "saew-feature-head" }, dial.toggle, pick), dial.node, make("div", { class: "saew-feature-end" }, dial.value, measure, remove), note, progress, dose.node);
  listen(pick, "click", () => view.asked.set({ feature: model.get("feature") === feature ? null : feature }), signal);
  listen(measure, "click", () => (mine() ? view.asked.stop() : view.asked.sweep(feature)), signal);
  listen(remove, "click", () => view.asked.remove(feature), signal);

  const mine = () => view.status.state === "sweeping" && view.status.feature === feature;

  return {
    node,
    end: () => stop.abort(),
    paint() {
      const { label, maximum, note: said } = model.get("_labels")[feature] ?? {};
      name.textContent = label || `Feature ${feature}`;
      number.textContent = label ? String(feature) : "";
      note.textContent = said ?? "";
      note.hidden = !said;
      pick.title = Number.isFinite(maximum) ? `Feature ${feature}, its maximum is ${brief(maximum)} (native feature_acts)` : `Feature ${feature}`;
      pick.setAttribute("aria-pressed", String(model.get("feature") === feature));
      node.toggleAttribute("data-in-hand", model.get("feature") === feature);
      remove.hidden = !view.live;
      remove.setAttribute("aria-label", `Take ${nameOf(view, feature)} away`);
      measure.hidden = !view.live || !model.get("_can").sweep;
      const sweeping = mine();
      measure.lastChild.textContent = sweeping ? "Stop" : sweepOf(view, feature) ? "Again" : "Dose–response";
      measure.title = sweeping ? "Stop the sweep" : "Write this prompt at seventeen strengths, with controls; then the slider replays them";
      measure.disabled = !sweeping && (view.status.state === "sweeping" || !model.get("prompt").trim());
      progress.hidden = !sweeping;
      progress.setAttribute("aria-valuenow", String(Math.round(100 * view.status.progress)));
      progress.firstChild.style.transform = `scaleX(${view.status.progress})`;
      dial.paint();
      dose.paint();
    },
  };
}

function createCards(view) {
  const cards = new Map();
  const empty = make("p", { class: "saew-empty" });
  const node = make("div", { class: "saew-features" }, empty);
  return {
    node,
    paint() {
      const features = view.model.get("features");
      for (const [feature, card] of cards) {
        if (features.includes(feature)) continue;
        card.end();
        card.node.remove();
        cards.delete(feature);
      }
      for (const feature of features) {
        if (cards.has(feature)) continue;
        cards.set(feature, createCard(view, feature));
        node.append(cards.get(feature).node);
      }
      empty.hidden = features.length > 0;
      empty.textContent = view.live ? "No feature yet: add one by number or words, or click one in a linked view." : "No feature was steered on this page.";
      for (const card of cards.values()) card.paint();
    },
  };
}
