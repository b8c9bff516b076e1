"""Text with its control characters by name, for inert HTML."""

from __future__ import annotations

import unicodedata

CONTROLS = (
    *("NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI"),
    *("DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US"),
)
MARKS = {"\u200e": "LRM", "\u200f": "RLM", "\u061c": "ALM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF"}
MARKS |= {"\u202d": "LRO", "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI"}


def visible(given: str) -> str:
    """``given`` with control characters by name, so that it disturbs nothing."""
    return "".join(glyph(c) for c in given)


def glyph(c: str) -> str:
    """One character made visible."""
    if c in "\n\t" or c.isprintable():
        return c
    if ord(c) < 32:
        return f"[{CONTROLS[ord(c)]}]"
    if c in MARKS:
        return f"[{MARKS[c]}]"
    # Joiners and variation selectors shape their neighbours; spaces are not printable to Python.
    if unicodedata.category(c) in ("Cf", "Mn", "Zs"):
        return c
    return f"[U+{ord(c):04X}]"
