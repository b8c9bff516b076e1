"""Saved pages: one HTML file that stays interactive with no kernel and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Protocol

from saewidgets.records import Provenance
from saewidgets.widgets.shared.bundle import inline_module, read_parts

PAGE_CSS = ("shared/page.css",)
PAGE_JS = ("shared/page.js",)


class Pageable(Protocol):
    """What a page is made of; every `Widget` is one."""

    @property
    def _esm(self) -> Any: ...
    @property
    def _css(self) -> Any: ...
    def _page_state(self) -> dict[str, Any]: ...
    def _page_blob(self) -> bytes: ...
    def _provenance(self) -> Provenance: ...


def save_page(path: str | os.PathLike[str], widget: Pageable, title: str) -> None:
    """Write the widget's page to ``path``: a complete file or, on any failure, nothing."""
    write_atomic(Path(path), page_html(widget, title))


def page_html(widget: Pageable, title: str) -> str:
    """The whole page: stylesheet, data, the widget's own module and a small stand-in for its model."""
    style = str(widget._css) + "\n" + read_parts(PAGE_CSS)
    script = f"const widget = {inline_module(str(widget._esm))};\n{read_parts(PAGE_JS)}"
    data = {"state": widget._page_state(), "blob": base64.b64encode(widget._page_blob()).decode("ascii")}
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body class="saew-page">
<main id="widget"><noscript>This page draws its picture with JavaScript.</noscript></main>
<footer>{text(footer(widget))}</footer>
<script type="application/json" id="data">{inert_json(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def policy(style: str, script: str) -> str:
    """A content security policy that lets exactly this stylesheet and this script run, and nothing load."""
    return f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; img-src data:"


def digest(source: str) -> str:
    """The hash by which a content security policy names an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"


def footer(widget: Pageable) -> str:
    """One line saying which model, hook and SAE the numbers come from."""
    source = widget._provenance()
    hashes = [f"{name} {value}" for name, value in (("model", source.model_hash), ("SAE", source.sae_hash)) if value]
    return " · ".join([part for part in (str(source), *hashes) if part] + ["made with saewidgets"])


def text(given: str) -> str:
    """``given`` as HTML text any UTF-8 file can hold: control characters and lone surrogates become U+FFFD."""
    shown = "".join("\ufffd" if (ord(c) < 32 and c not in "\n\t") or 0xD800 <= ord(c) < 0xE000 else c for c in given)
    return escape(shown)


def inert_json(data: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def write_atomic(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` by way of a temporary file beside it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
        # mkstemp makes private files; a page is meant to be shared as any new file would be.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
