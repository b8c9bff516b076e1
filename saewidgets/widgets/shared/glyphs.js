// What a token looks like: control characters by name, parts of characters marked.
const PLAIN = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\ufe0f\\]+$/u;
const BYTES = /((?:\\x[89A-Fa-f][0-9A-Fa-f])+)/;
const INVISIBLE = /^[\p{Cf}\ufe00-\ufe0f]*$/u;
// Fonts with the pictures of U+2400 are rare; the names read everywhere, aloud too.
const CONTROLS = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");
const NAMES = {
  "\u200e": "LRM", "\u200f": "RLM", "\u061c": "ALM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO",
  "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\u200b": "ZWSP", "\u200c": "ZWNJ",
  "\u200d": "ZWJ", "\u2060": "WJ", "\u00ad": "SHY", "\ufeff": "BOM", "\ufe0f": "VS16",
};
const BIDI = new Set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069");

// Pieces of [kind, text]: text, space, tab, newline, glyph (a named character), part (of a character).
function piecesOf(token, split, whitespace) {
  if (token === "") return [["glyph", "∅"]];
  if (split) return splitPieces(token, split, whitespace);
  return wholePieces(token, whitespace);
}

function splitPieces(token, [part, parts, character], whitespace) {
  return token.split(BYTES).filter(Boolean).flatMap((run) => {
    if (!BYTES.test(run)) return wholePieces(run, whitespace);
    const mark = ["part", `${part}⁄${parts}`];
    return part === 1 ? [...wholePieces(character, whitespace), mark] : [mark];
  });
}

function wholePieces(text, whitespace) {
  const unseen = INVISIBLE.test(text);
  const pieces = [];
  for (const c of text) {
    const [kind, shown] = pieceOf(c, whitespace, unseen, text);
    const last = pieces[pieces.length - 1];
    if (kind === "text" && last && last[0] === "text") last[1] += shown;
    else pieces.push([kind, shown]);
  }
  return pieces;
}

function pieceOf(c, whitespace, unseen, whole) {
  const code = c.codePointAt(0);
  if (c === "\n") return [whitespace || /^[\r\n]+$/.test(whole) ? "newline" : "text", c];
  if (c === "\r" && whole.includes("\r\n") && !whitespace) return ["text", ""];
  if (whitespace && c === "\t") return ["tab", c];
  if (whitespace && (c === " " || c === "\u00a0")) return ["space", c];
  if (c === "\t") return ["text", c];
  if (code < 32) return ["glyph", CONTROLS[code]];
  if (code === 127) return ["glyph", "DEL"];
  if (BIDI.has(c) || (unseen && NAMES[c])) return ["glyph", NAMES[c]];
  if ((code >= 0x80 && code < 0xa0) || (code >= 0xd800 && code < 0xe000) || /[\p{Zl}\p{Zp}]/u.test(c) || unseen) {
    return ["glyph", `U+${code.toString(16).toUpperCase().padStart(4, "0")}`];
  }
  return ["text", c];
}

// Fills `node` with the pieces; returns nothing a layout could be broken by.
function drawPieces(node, pieces) {
  node.replaceChildren(...pieces.map(([kind, text]) => {
    if (kind === "text") return text;
    const piece = document.createElement(kind === "glyph" ? "bdi" : "span");
    piece.className = `saew-${kind}`;
    piece.textContent = text;
    return piece;
  }));
}

function drawToken(node, token, split, whitespace) {
  if (!split && PLAIN.test(token) && !(whitespace && /[ \u00a0]/.test(token))) node.textContent = token;
  else drawPieces(node, piecesOf(token, split, whitespace));
}

// A token as one line of text, for names and announcements.
function spellToken(token, split) {
  const marks = { space: "·", tab: "⇥", newline: "⏎" };
  return piecesOf(token, split, true).map(([kind, text]) => marks[kind] || text).join("");
}
