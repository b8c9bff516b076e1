// The turns of a chat before the prompt: to be read, not edited; long ones and long chats are folded.
const UNFOLDED = 4;

const turnsOf = (model) => model.get("turns") ?? null;
const sameTurns = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);

// Of a long chat the first turn (who the model should be) and the last two are enough to know where one is.
const folded = (turns, i) => turns.length > UNFOLDED && i > 0 && i < turns.length - 2;

function createTurns(view) {
  const { model, signal } = view;
  const id = `saew-turns-${view.id}`;
  const list = make("ol", { class: "saew-turn-list", id, "aria-label": "Earlier turns of the chat" });
  const toggle = button({ class: "saew-turn-toggle", "aria-controls": id });
  const node = make("div", { class: "saew-turns", hidden: true }, list, toggle);
  let [open, turns, hidden] = [false, null, 0];

  const rowOf = ({ role, content }, i) => make("li", { class: "saew-turn", "data-fold": folded(turns, i) },
    make("span", { class: "saew-turn-role" }, role), make("div", { class: "saew-turn-text", dir: "auto" }, content));

  function draw() {
    hidden = turns.filter((_, i) => folded(turns, i)).length;
    const rows = turns.map(rowOf);
    if (hidden) rows.splice(1, 0, make("li", { class: "saew-turn saew-turn-gap" }, make("span", { class: "saew-turn-role" }, "⋯"), count(hidden, "more turn")));
    list.replaceChildren(...rows);
  }

  // Whether a text is cut depends on the width of the panel.
  function fit() {
    const cut = [...list.querySelectorAll(".saew-turn-text")].some((text) => text.scrollHeight > text.clientHeight + 1);
    node.toggleAttribute("data-open", open);
    toggle.hidden = !open && !hidden && !cut;
    toggle.textContent = open ? "Show less" : "Show the whole chat";
    toggle.setAttribute("aria-expanded", String(open));
    // What scrolls must be within reach of the keyboard.
    if (open) list.tabIndex = 0;
    else list.removeAttribute("tabindex");
  }

  listen(toggle, "click", () => {
    open = !open;
    fit();
  }, signal);
  const watcher = new ResizeObserver(fit);
  watcher.observe(list);
  signal.addEventListener("abort", () => watcher.disconnect());
  return {
    node,
    paint() {
      const now = turnsOf(model);
      if (sameTurns(now, turns)) return;
      turns = now;
      node.hidden = !turns?.length;
      if (!turns) return;
      draw();
      fit();
    },
  };
}
