// What `wire.py` packed: cards with their examples, and a few numbers of every feature.
const KEPT_CARDS = 300;

function readCard(blob) {
  const found = unpack(blob);
  const card = { ...found.meta, examples: readExamples(found) };
  for (const which of card.effects) card.examples[which].effect = found[`effect ${which}`];
  card.strongest = card.examples.slice(0, card.top);
  card.drawn = card.examples.slice(card.top).sort((a, b) => b.interval - a.interval || b.values[b.position] - a.values[a.position]);
  return card;
}

function readExamples({ meta, token, at, value, skipped }) {
  let start = 0;
  let next = 0;
  let skip = 0;
  return meta.examples.map((example, which) => {
    const end = start + example.size;
    const values = new Float32Array(example.size);
    const left = new Set();
    for (; next < at.length && at[next] < end; next++) values[at[next] - start] = value[next];
    for (; skip < skipped.length && skipped[skip] < end; skip++) left.add(skipped[skip] - start);
    const tokens = Array.from(token.subarray(start, end), (number) => meta.vocabulary[number]);
    start = end;
    return { ...example, which, tokens, values, skipped: left, effect: null };
  });
}

function readList(blob) {
  const { meta, feature, density, maximum, score, labels } = unpack(blob);
  const names = new TextDecoder().decode(labels).split("\n");
  const whole = feature.length === meta.total;
  const rows = whole ? null : new Map(Array.from(feature, (number, row) => [number, row]));
  return {
    total: meta.total,
    size: feature.length,
    feature,
    density,
    maximum,
    score,
    labels: names,
    lower: names.map((name) => name.toLowerCase()),
    // Row of a feature, undefined where it is not listed.
    rowOf: (number) => (whole ? (number < meta.total ? number : undefined) : rows.get(number)),
  };
}

// The newest cards; going back to one of them asks nobody.
function createShelf() {
  const cards = new Map();
  return {
    get: (feature) => cards.get(feature),
    has: (feature) => cards.has(feature),
    put(card) {
      cards.delete(card.feature);
      cards.set(card.feature, card);
      if (cards.size > KEPT_CARDS) cards.delete(cards.keys().next().value);
    },
  };
}

// A saved page holds everything in one blob.
function readPage(blob) {
  const found = unpack(blob);
  return { cards: found.meta.cards.map((feature) => readCard(found[`card ${feature}`].slice())), list: readList(found.list.slice()) };
}
