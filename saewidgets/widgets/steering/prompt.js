// What is asked: the prompt, or the user's last turn of a chat.
function createPrompt(view) {
  const { model, signal } = view;
  const field = make("textarea", { class: "saew-prompt", rows: 1, dir: "auto", spellcheck: "false" });
  const write = button({ class: "saew-write" });
  const role = make("span", { class: "saew-turn-role", "aria-hidden": "true" }, "user");
  const node = make("div", { class: "saew-ask" }, role, field, write);
  const busy = () => view.status.state === "writing";
  let timer = null;
  listen(write, "click", () => (busy() ? view.asked.stop() : view.asked.write()), signal);
  listen(field, "input", () => {
    model.set("prompt", field.value);
    clearTimeout(timer);
    timer = setTimeout(() => model.save_changes(), 200);
    view.paint();
  }, signal);
  listen(field, "keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    view.asked.write();
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(timer));
  return {
    node,
    paint() {
      const prompt = model.get("prompt");
      if (field.value !== prompt) field.value = prompt;
      const chat = turnsOf(model) !== null;
      field.readOnly = !view.live;
      field.placeholder = chat ? "What does the user say next?" : "What should the model continue or answer?";
      field.setAttribute("aria-label", chat ? "Prompt, the user's turn" : "Prompt");
      role.hidden = !chat;
      write.hidden = !view.live;
      const name = busy() ? "Stop" : "Write";
      if (write.textContent !== name) write.replaceChildren(icon(busy() ? "stop" : "play"), name);
      write.toggleAttribute("data-busy", busy());
      write.disabled = !busy() && !prompt.trim();
      write.title = busy() ? "Stop (Escape)" : "Write both texts (Enter)";
    },
  };
}
