// The stand-in for a kernel's model: traits live here, and "ready" is answered from the page's own data.
function savedModel(state, bytes) {
  const listeners = {};
  const emit = (event, ...values) => (listeners[event] || []).slice().forEach((fn) => fn(...values));
  return {
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      emit("change:" + name, undefined, value);
    },
    save_changes() {},
    on: (event, fn) => (listeners[event] ||= []).push(fn),
    off: (event, fn) => (listeners[event] = (listeners[event] || []).filter((other) => other !== fn)),
    send(message) {
      if (message.type !== "ready" || !bytes.length) return;
      const part = { type: "acts", to: message.view, acts: 1, part: 0, parts: 1, editing: null };
      queueMicrotask(() => emit("msg:custom", part, [new DataView(bytes.buffer)]));
    },
  };
}

const saved = JSON.parse(document.getElementById("data").textContent);
const bytes = Uint8Array.from(atob(saved.blob), (c) => c.charCodeAt(0));
widget.render({ model: savedModel(saved.state, bytes), el: document.getElementById("widget") });
