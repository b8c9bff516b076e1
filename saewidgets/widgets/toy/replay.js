// A slider through the moments that were kept.
const REPLAY_MS = 90;

function createReplay(view, store, show, announce) {
  const play = button({ class: "saew-tool saew-play" });
  const slider = make("input", { type: "range", class: "saew-range", min: "0", step: "1", "aria-label": "Moment of the training" });
  const where = make("span", { class: "saew-num saew-where" });
  const node = make("div", { class: "saew-replay", hidden: true }, play, slider, where);
  let timer = 0;

  function label() {
    play.replaceChildren(icon(timer ? "pause" : "play"), timer ? "Hold" : "Replay training");
  }

  function go(i) {
    const frame = store.kept[i];
    slider.value = String(i);
    const { history } = view;
    const row = history.size ? rowAt(history, frame.tokens) : -1;
    const fvu = frame.tokens && row >= 0 ? ` · FVU ${brief(history.fvu[row])}` : "";
    where.textContent = `${shortCount(frame.tokens)} tokens${fvu}`;
    slider.setAttribute("aria-valuetext", where.textContent);
    slider.style.setProperty("--saew-done", `${(100 * i) / Math.max(1, store.kept.length - 1)}%`);
    return show(frame);
  }

  function hold() {
    clearInterval(timer);
    timer = 0;
    label();
  }

  function start() {
    const from = Number(slider.value) >= store.kept.length - 1 ? 0 : Number(slider.value);
    go(from);
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      const words = go(Math.min(next, store.kept.length - 1));
      if (next < store.kept.length - 1) return;
      hold();
      announce(words);
    }, REPLAY_MS);
    label();
  }

  listen(play, "click", () => (timer ? hold() : start()), view.signal);
  listen(slider, "input", () => {
    hold();
    go(Number(slider.value));
  }, view.signal);
  view.signal.addEventListener("abort", () => clearInterval(timer));
  label();
  return {
    node,
    // True while the picture belongs to the slider, so that nothing else draws over it.
    paint() {
      const possible = (view.over() || !view.live) && store.kept.length > 1;
      if (possible && (node.hidden || slider.max !== String(store.kept.length - 1))) {
        slider.max = String(store.kept.length - 1);
        go(store.kept.length - 1);
      }
      node.hidden = !possible;
      return possible;
    },
  };
}
