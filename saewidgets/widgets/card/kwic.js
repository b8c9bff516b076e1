// An example on one line, its token in the same column as everybody else's: a concordance.
const LEFT = 22;
const RIGHT = 34;
const RTL = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

// One span a token; `paint(span, i)` colours it.
function drawTokens(example, start, end, paint) {
  const nodes = [];
  for (let i = start; i < end; i++) {
    const span = document.createElement("span");
    span.className = example.skipped.has(i) ? "saew-t saew-skip" : "saew-t";
    span.token = i;
    drawToken(span, example.tokens[i], example.split[i], false);
    paint(span, i);
    nodes.push(span);
  }
  return nodes;
}

function readsBackwards(example) {
  const letter = /\p{L}/u.exec(example.tokens.slice(example.position).join(""));
  return !!letter && RTL.test(letter[0]);
}

function drawLine(example, full) {
  const { position, tokens } = example;
  const paint = (span, i) => {
    if (!example.skipped.has(i)) paintSpan(span, stepOf(example.values[i], full));
    if (i === position) span.classList.add("saew-about");
  };
  const before = make("span", { class: "saew-before" }, make("span", {}, ...drawTokens(example, Math.max(0, position - LEFT), position, paint)));
  const after = make("span", { class: "saew-after" }, ...drawTokens(example, position, Math.min(tokens.length, position + RIGHT), paint));
  return make("div", { class: "saew-line", dir: readsBackwards(example) ? "rtl" : "ltr" }, before, after);
}
