// One example opened: all of its text, coloured by activation or by what ablating the feature does to each token.
const HELPED = "52, 120, 205";
const HURT = "206, 55, 60";
// Where the largest effect is smaller than this many nats, all of them are drawn pale.
const LEAST_EFFECT = 0.3;
// Beside its colour, an effect of this share of the scale is underlined: a line if it helped, dots if it hurt.
const MARKED = 0.3;

function effectScale(effect) {
  let most = LEAST_EFFECT;
  for (const nats of effect) if (Math.abs(nats) > most) most = Math.abs(nats);
  return most;
}

function paintEffect(span, nats, most) {
  const share = Number.isFinite(nats) ? Math.abs(nats) / most : 0;
  span.classList.remove("saew-hot");
  span.style.backgroundColor = share >= 0.05 ? `rgba(${nats > 0 ? HELPED : HURT}, ${(0.06 + 0.66 * share).toFixed(3)})` : "";
  span.classList.toggle("saew-helped", share >= MARKED && nats > 0);
  span.classList.toggle("saew-hurt", share >= MARKED && nats < 0);
}

// "helped most “ Bridge” +1.20 · hurt most “ in” −0.08"
function effectWords(example) {
  const at = [...example.effect.keys()].filter((i) => Number.isFinite(example.effect[i]));
  const by = (way) => at.reduce((best, i) => (best === null || way * example.effect[i] > way * example.effect[best] ? i : best), null);
  const words = [["helped most", by(1), 1], ["hurt most", by(-1), -1]]
    .filter(([, i, way]) => i !== null && way * example.effect[i] >= 0.005)
    .flatMap(([text, i], nth) => [nth ? "  ·  " : "", `${text} `, tokenChip(example.tokens[i]), ` ${signed(example.effect[i])}`]);
  return words.length ? [...words, `  ·  full colour ${brief(effectScale(example.effect))} nats`] : ["no token’s prediction changes"];
}

// `full`: value of full colour. `ask` asks for the effect; null where nobody can be asked.
function createOpened(example, full, ask, announce) {
  const text = make("div", { class: "saew-whole", dir: "auto", role: "group", "aria-label": "The whole example; arrow keys step through its tokens" });
  const words = make("span", { class: "saew-effect-words" });
  const modes = ["Activation", "Ablation effect"].map((name) => button({ class: "saew-segment" }, name));
  const which = make("div", { class: "saew-choice", role: "group", "aria-label": "What the colours show" }, ...modes);
  const foot = make("div", { class: "saew-opened-foot" }, which, words, make("span", { class: "saew-source" }, example.source));
  const node = make("div", { class: "saew-opened" }, text, foot);
  const state = { effect: false, waiting: false, problem: "" };
  const spans = drawTokens(example, 0, example.tokens.length, (span, i) => i === example.position && span.classList.add("saew-about"));
  text.append(...spans);
  if (spans.length) spans[example.position].tabIndex = 0;
  modes[1].title = "How much log-probability each token gains from this feature: the model is run with and without it";
  which.hidden = !ask && !example.effect;

  function sentence() {
    if (state.problem) return [make("span", { class: "saew-wrong", role: "alert" }, state.problem)];
    if (state.waiting) return [make("span", { class: "saew-waiting" }, "running the model without this feature…")];
    return state.effect ? effectWords(example) : [];
  }

  function paint() {
    const shown = state.effect && example.effect;
    const most = shown ? effectScale(example.effect) : 0;
    spans.forEach((span, i) => {
      if (shown) return paintEffect(span, example.effect[i], most);
      span.classList.remove("saew-helped", "saew-hurt");
      paintSpan(span, example.skipped.has(i) ? 0 : stepOf(example.values[i], full));
    });
    modes.forEach((mode, i) => mode.setAttribute("aria-pressed", String((i === 1) === !!(shown || state.waiting))));
    words.replaceChildren(...sentence());
    node.toggleAttribute("data-effect", !!shown);
  }

  // The view's signal need not end these: they go with their nodes.
  modes[0].onclick = () => {
    Object.assign(state, { effect: false, waiting: false, problem: "" });
    paint();
  };
  modes[1].onclick = () => {
    Object.assign(state, { effect: true, waiting: !example.effect, problem: "" });
    if (!example.effect) ask(example);
    paint();
  };
  text.onkeydown = (event) => {
    const at = event.target.token;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (at === undefined || to === undefined || !spans[to]) return;
    event.preventDefault();
    spans[at].removeAttribute("tabindex");
    spans[to].tabIndex = 0;
    spans[to].focus();
    announce(`${spellToken(example.tokens[to], example.split[to])}: ${brief(example.values[to])}${state.effect && example.effect ? `, effect ${signed(example.effect[to])}` : ""}`);
  };
  paint();
  return {
    node,
    answered() {
      Object.assign(state, { waiting: false, effect: true, problem: "" });
      paint();
      announce(words.textContent);
    },
    failed(message) {
      Object.assign(state, { waiting: false, effect: false, problem: message });
      paint();
    },
    // Another example was asked about since: only the newest question is answered.
    overtaken() {
      if (!state.waiting) return;
      Object.assign(state, { waiting: false, effect: false });
      paint();
    },
  };
}
