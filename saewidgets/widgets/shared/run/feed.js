// How a view of a run learns what happened: everything once, then what is new.
const PATIENCE_MS = 6000;

function createRunView(model, root, signal) {
  const view = { model, root, signal, id: crypto.randomUUID?.() ?? String(Math.random()), history: createHistory(), heard: performance.now(), loaded: false };
  Object.defineProperty(view, "status", { get: () => model.get("_status") });
  Object.defineProperty(view, "live", { get: () => model.get("_live") });
  view.tell = (type) => model.send({ type, view: view.id });
  view.over = () => ["finished", "stopped", "failed"].includes(view.status.state);
  return view;
}

// `rows` is called after every change of the history, with whether it says what was known (asked for anew after a gap:
// no sign that what has failed since is well again); `extra` with a blob that holds more than rows.
function followRun(view, { rows, status, failed, extra }) {
  const { model, signal } = view;
  const waiting = new Map();

  function take(type, blob) {
    if (type === "frames") return extra(blob, false);
    if (type === "rows" && !view.loaded) return null;
    if (!addRows(view.history, blob.meta.start, blob)) return view.tell("ready");
    const again = type === "acts" && view.loaded;
    if (type === "acts") {
      view.loaded = true;
      extra?.(blob, true);
    }
    return rows(again);
  }

  function receive(message, buffers) {
    if (message.to && message.to !== view.id) return;
    if (message.type === "failed") return failed(message.message);
    if (!["acts", "rows", "frames"].includes(message.type)) return;
    const whole = collect(waiting, message, buffers);
    if (!whole) return;
    view.heard = performance.now();
    take(message.type, unpack(whole));
  }

  watch(model, "msg:custom", receive, signal);
  watch(model, "change:_status", () => {
    view.heard = performance.now();
    status();
  }, signal);
  const timer = setTimeout(() => view.loaded || failed("Waiting for the kernel. If it was restarted, run this cell again."), PATIENCE_MS);
  signal.addEventListener("abort", () => clearTimeout(timer));
  view.tell("ready");
}

// Calls `paint` once in the next frame however often it is asked for.
function eachFrame(paint, signal) {
  let due = 0;
  signal.addEventListener("abort", () => cancelAnimationFrame(due));
  return () => {
    due ||= requestAnimationFrame(() => {
      due = 0;
      if (!signal.aborted) paint();
    });
  };
}
