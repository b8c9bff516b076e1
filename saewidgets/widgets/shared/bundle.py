"""Joins a widget's plain JavaScript and CSS parts into one module and one stylesheet; no build step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

WIDGETS = Path(__file__).parents[1]
EXPORT = "export default { render };\n"
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_PRELUDE = re.compile(r"[^{}]+\{")
_SELECTORS = re.compile(r"\s*[.:#\[]")
_COMMA = re.compile(r",(?![^()]*\))(?![^()]*\([^()]*\)[^()]*\))")  # not within parentheses, nested once
_OUTERMOST = re.compile(r"\.saew(?![\w-])")
_THEME = re.compile(r":is\(\[data-jp-theme-light[^)]*\) ")


@cache
def read_parts(parts: Sequence[str]) -> str:
    """Text of the named parts one after another; names are relative to the widgets folder."""
    return "\n".join((WIDGETS / part).read_text(encoding="utf-8") for part in parts)


def bundle_esm(parts: Sequence[str]) -> str:
    """One ES module of the parts; the last one defines ``render``."""
    return read_parts(tuple(parts)) + "\n" + EXPORT


def bundle_css(parts: Sequence[str]) -> str:
    """One stylesheet of the parts; those of a widget's own folder hold inside that widget only.

    A notebook shows several widgets in one document, and short class names of one would style another.
    """
    return "\n".join(_scoped(part) for part in parts)


@cache
def _scoped(part: str) -> str:
    folder, text = part.split("/")[0], read_parts((part,))
    if folder == "shared":
        return text
    return _PRELUDE.sub(lambda found: _narrowed(found[0], f".saew-{folder}"), _COMMENT.sub("", text))


def _narrowed(prelude: str, root: str) -> str:
    """The selectors before a ``{``, each held to what is inside ``root``, as specific as they were."""
    if not _SELECTORS.match(prelude):  # an at-rule, or a keyframe
        return prelude
    return ", ".join(_inside(selector.strip(), root) for selector in _COMMA.split(prelude[:-1])) + " {"


def _inside(selector: str, root: str) -> str:
    if re.search(rf"{re.escape(root)}(?![\w-])", selector):
        return selector
    theme = _THEME.match(selector)
    before = theme[0] if theme else ""
    after = selector.removeprefix(before)
    if _OUTERMOST.match(after):  # the widget itself, perhaps in some state
        return f"{before}.saew:where({root}){after.removeprefix('.saew')}"
    return f"{before}:where({root}) {after}"


def inline_module(esm: str) -> str:
    """The same module as an expression, for a page that may import nothing."""
    body = esm.removesuffix(EXPORT)
    return f'(() => {{\n"use strict";\n{body}\nreturn {{ render }};\n}})()'
