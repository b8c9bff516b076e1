"""Joins a widget's plain JavaScript and CSS parts into one module and one stylesheet; no build step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

WIDGETS = Path(__file__).parents[1]
EXPORT = "export default { render };\n"


@cache
def read_parts(parts: Sequence[str]) -> str:
    """Text of the named parts one after another; names are relative to the widgets folder."""
    return "\n".join((WIDGETS / part).read_text(encoding="utf-8") for part in parts)


def bundle_esm(parts: Sequence[str]) -> str:
    """One ES module of the parts; the last one defines ``render``."""
    return read_parts(tuple(parts)) + "\n" + EXPORT


def bundle_css(parts: Sequence[str]) -> str:
    """One stylesheet of the parts."""
    return read_parts(tuple(parts))


def inline_module(esm: str) -> str:
    """The same module as an expression, for a page that may import nothing."""
    body = esm.removesuffix(EXPORT)
    return f'(() => {{\n"use strict";\n{body}\nreturn {{ render }};\n}})()'
