// What one sees, in words.
function createWords(store) {
  const title = make("h3", {});
  const idea = make("p", { class: "saew-faint saew-idea" });
  const many = make("span", { class: "saew-num saew-many" });
  const what = make("span", { class: "saew-what" });
  const mean = make("span", { class: "saew-num saew-many" });
  const now = make("p", { class: "saew-sentence" });

  function ideaOf() {
    const { n, dIn } = store;
    if (n <= dIn) return "There is room for every direction to stand at right angles to all others.";
    return "More directions than dimensions: they cannot all stand at right angles, so they share the space. That is superposition, and a sparse autoencoder can still tell them apart because only a few are active at a time.";
  }

  function sentence(summary, waiting) {
    const { n } = store;
    const missing = n - summary.found;
    if (waiting) return "The features start in random directions; training has not begun.";
    if (!missing) return "Every planted direction has been found again.";
    if (!summary.found) return "No feature points along a planted direction yet.";
    const many = missing === 1 ? "The one still missing is" : `The ${missing} still missing are`;
    if (summary.oftenMissing < 0.67 * summary.oftenFound) {
      return `${many} rarer: active in ${percentBrief(summary.oftenMissing)} of the samples${missing === 1 ? "" : " on average"}, the recovered ones in ${percentBrief(summary.oftenFound)}.`;
    }
    return `${many} about as frequent as the recovered ones.`;
  }

  return {
    head: make("div", { class: "saew-toy-head" }, title, idea),
    node: make("div", { class: "saew-score" }, make("p", { class: "saew-scores" }, make("span", {}, many, what), make("span", {}, mean, make("span", { class: "saew-what" }, "mean max cosine"))), now),
    paint(frame, waiting) {
      const summary = summaryOf(store, frame);
      title.textContent = `${count(store.n, "direction")} planted in ${count(store.dIn, "dimension")}, ${count(store.d, "feature")} to find them`;
      idea.textContent = ideaOf();
      many.textContent = `${summary.found} of ${store.n}`;
      what.textContent = `planted directions recovered (cosine ≥ ${store.recovered})`;
      mean.textContent = summary.mean.toFixed(2);
      now.textContent = sentence(summary, waiting);
      return `${summary.found} of ${store.n} planted directions recovered, mean max cosine ${summary.mean.toFixed(2)}`;
    },
  };
}
