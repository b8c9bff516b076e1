// Small helpers every widget uses. Text goes in as text nodes only; nothing here parses HTML.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function button(attributes, ...children) {
  return make("button", { type: "button", ...attributes }, ...children);
}

// A listener on an element or on a model that ends with the view.
function listen(target, type, fn, signal) {
  target.addEventListener(type, fn, { signal });
}

function watch(model, event, fn, signal) {
  model.on(event, fn);
  signal.addEventListener("abort", () => model.off(event, fn));
}

// Three digits are what an eye compares; more would be noise.
function brief(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

function count(number, noun) {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}
