// The slider of one feature, with its switch: off, 0 (ablated) and every other strength look different.
const KNOB = 18;

function createDial(view, feature, signal) {
  const { model } = view;
  const input = make("input", { type: "range", class: "saew-dial-input" });
  const ticks = make("div", { class: "saew-ticks", "aria-hidden": "true" });
  const node = make("div", { class: "saew-dial" }, input, ticks);
  const toggle = button({ class: "saew-switch", role: "switch" }, make("span"));
  const value = make("output", { class: "saew-num saew-value" });
  let pause = null;

  function drawTicks() {
    const [low, high] = view.asked.limits();
    const kind = model.get("kind");
    const marks = { clamp: [-10, -5, 0, 5, 10], at_least: [0, 2, 4, 6, 8, 10], add: [-1, -0.5, 0, 0.5, 1] }[kind];
    ticks.replaceChildren(...marks.map((mark) => {
      const zero = mark === 0 && kind === "clamp";
      const tick = make("span", { class: zero ? "saew-tick saew-tick-zero" : "saew-tick" }, zero ? "0 = ablate" : signed(mark));
      tick.style.setProperty("--at", (mark - low) / (high - low));
      return tick;
    }));
  }

  function steer(strength) {
    const [low, high] = view.asked.limits();
    const step = STEPS[model.get("kind")];
    const rounded = Number((Math.round(Math.min(high, Math.max(low, strength)) / step) * step).toFixed(2));
    view.hand = feature;
    view.asked.steer(feature, rounded);
  }

  function release() {
    view.hand = null;
    view.asked.released();
    view.paint();
  }

  listen(input, "input", () => {
    const step = STEPS[model.get("kind")];
    const at = Number(input.value);
    // Zero is a place of its own: a hand that comes near it means it.
    steer(Math.abs(at) <= 2 * step ? 0 : at);
  }, signal);
  listen(input, "change", release, signal);
  listen(input, "keydown", (event) => {
    const [low, high] = view.asked.limits();
    const step = STEPS[model.get("kind")] * (event.shiftKey ? 1 : 5);
    const at = view.asked.position(feature);
    const to = { ArrowRight: at + step, ArrowUp: at + step, ArrowLeft: at - step, ArrowDown: at - step, PageUp: at + 4 * step, PageDown: at - 4 * step, Home: low, End: high }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    steer(to);
    clearTimeout(pause);
    pause = setTimeout(release, 250);
  }, signal);
  listen(toggle, "click", () => {
    view.asked.steer(feature, view.asked.strength(feature) === null ? view.asked.position(feature) : null);
    view.asked.released();
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(pause));

  return {
    node,
    toggle,
    value,
    set: steer,
    release,
    paint() {
      const [low, high] = view.asked.limits();
      const kind = model.get("kind");
      const strength = view.asked.strength(feature);
      const at = view.asked.position(feature);
      if (node.dataset.kind !== kind) {
        Object.assign(input, { min: String(low), max: String(high), step: String(STEPS[kind]) });
        node.dataset.kind = kind;
        drawTicks();
      }
      if (view.hand !== feature && Number(input.value) !== at) input.value = String(at);
      const place = (number) => (number - low) / (high - low);
      const [from, to] = [place(Math.min(0, at)), place(Math.max(0, at))];
      node.style.setProperty("--from", from);
      node.style.setProperty("--to", to);
      node.dataset.state = strength === null ? "off" : strength === 0 && kind === "clamp" ? "ablated" : strength < 0 ? "down" : "up";
      const words = strength === null ? "off" : strengthText(strength, kind);
      value.textContent = words;
      value.dataset.state = node.dataset.state;
      value.title = UNIT_TITLES[kind];
      input.setAttribute("aria-label", `Strength of ${nameOf(view, feature)}`);
      input.setAttribute("aria-valuetext", strength === null ? `off, at ${strengthText(at, kind)}` : words);
      toggle.setAttribute("aria-checked", String(strength !== null));
      toggle.setAttribute("aria-label", `Steer with ${nameOf(view, feature)}`);
      const locked = !view.live && !sweepOf(view, feature);
      input.disabled = toggle.disabled = locked;
    },
  };
}
