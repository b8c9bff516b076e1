// Numbers as a reader takes them in.
function percent(share) {
  if (!(share > 0)) return "0 %";
  const value = 100 * share;
  return `${value >= 10 ? value.toFixed(0) : Number(value.toPrecision(2))} %`;
}

function oneIn(share) {
  const every = 1 / share;
  return every < 10 ? `1 in ${Number(every.toPrecision(2))}` : `1 in ${Math.round(Number(every.toPrecision(3))).toLocaleString("en-US")}`;
}

function signed(value, digits = 2) {
  if (!Number.isFinite(value)) return "–";
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

// A number of tokens in a few characters.
function short(count) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= size) return `${Number((count / size).toPrecision(count / size >= 100 ? 3 : 2))}${letter}`;
  }
  return String(Math.round(count));
}

// A token beside other words: its spaces and line ends drawn, its edges marked.
function tokenChip(token) {
  return make("bdi", { class: "saew-token" }, spellToken(token, null));
}
