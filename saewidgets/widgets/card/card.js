// The widget: its parts put together.
const PATIENCE_MS = 6000;

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-card", "aria-label": "Feature card", tabindex: "-1", "data-lm-suppress-shortcuts": "true" });
  const status = make("p", { class: "saew-unseen", role: "status", "aria-live": "polite" });
  const announce = (text) => (status.textContent = text);
  const view = createView(model, root, stop.signal);
  const bar = createBar(view, trustBadge(model, root, stop.signal));
  const main = createMain(view);
  view.list = createList(view);
  root.append(bar.node, make("div", { class: "saew-card-body" }, view.list.node, main.node), status);
  el.append(root);
  listenToKeys(view, main, bar);
  listenToTokens(view, main, root);
  bar.busy("loading…");
  wire(view, main, bar, announce);
  const timer = setTimeout(() => {
    if (!view.card) main.complain("Waiting for the kernel. If it was restarted, run this cell again.");
  }, PATIENCE_MS);
  return () => {
    clearTimeout(timer);
    stop.abort();
    root.remove();
  };
}
