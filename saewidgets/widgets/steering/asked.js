// What is asked of the model now, and how a change of it spreads.
const PUSH_MS = 33;

function createAsked(view) {
  const { model, signal } = view;
  // Where a slider stands while its feature is off.
  const held = new Map();
  let [timer, last] = [null, 0];

  function push() {
    clearTimeout(timer);
    timer = null;
    last = performance.now();
    model.save_changes();
  }

  // At most thirty changes a second leave the page, the last one always.
  function later() {
    if (timer !== null) return;
    const wait = last + PUSH_MS - performance.now();
    if (wait <= 0) push();
    else timer = setTimeout(push, wait);
  }

  signal.addEventListener("abort", () => clearTimeout(timer));

  const asked = {
    limits: () => model.get("_can").limits[model.get("kind")],
    strength: (feature) => model.get("strengths")[feature] ?? null,
    position: (feature) => asked.strength(feature) ?? held.get(feature) ?? model.get("_can").starts[model.get("kind")],
    set(changes) {
      for (const [name, value] of Object.entries(changes)) model.set(name, value);
      push();
    },
    steer(feature, strength) {
      const strengths = { ...model.get("strengths") };
      // A saved page holds texts for one feature at a time.
      if (!view.live) for (const other of Object.keys(strengths)) if (Number(other) !== feature) delete strengths[other];
      if (strength === null) delete strengths[feature];
      else strengths[feature] = strength;
      held.set(feature, strength ?? asked.position(feature));
      view.own = strengths;
      model.set("strengths", strengths);
      later();
    },
    now: () => ({ prompt: model.get("prompt"), strengths: model.get("strengths"), kind: model.get("kind"), settings: model.get("settings") }),
    write() {
      if (!view.live || !model.get("prompt").trim()) return;
      push();
      model.send({ type: "write", view: view.id, asked: asked.now() });
    },
    sweep(feature) {
      push();
      model.send({ type: "sweep", view: view.id, feature, asked: asked.now() });
    },
    stop: () => model.send({ type: "stop", view: view.id }),
    // A hand let go: write, unless the text is there already or what is being written follows the hand anyway.
    released() {
      push();
      const on = Object.keys(model.get("strengths"));
      view.pending = view.status.state === "writing";
      if (view.pending || view.status.state === "sweeping") return;
      if (on.length === 1 && sweepOf(view, on[0])) return;
      if (!on.length && !view.written) return;
      asked.write();
    },
    add(feature) {
      const features = model.get("features");
      if (!features.includes(feature)) model.set("features", [...features, feature].slice(-8));
      asked.set({ feature });
    },
    remove(feature) {
      const strengths = { ...model.get("strengths") };
      delete strengths[feature];
      if (model.get("feature") === feature) model.set("feature", null);
      held.delete(feature);
      asked.set({ strengths, features: model.get("features").filter((other) => other !== feature) });
    },
    reset() {
      held.clear();
      asked.stop();
      asked.set({ strengths: {} });
    },
  };
  return asked;
}
