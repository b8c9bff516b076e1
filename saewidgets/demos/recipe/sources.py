"""Plain text out of freely available packages: one small reader a source, each yielding documents."""

from __future__ import annotations

import gzip
import html
import json
import re
import struct
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_BLOCKS = {"p", "div", "li", "h1", "h2", "h3", "h4", "h5", "br", "tr", "dt", "dd", "pre", "blockquote", "title", "page"}
_HIDDEN = {"script", "style", "head", "nav", "footer", "media", "desc", "credit", "info"}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0
        self.literal = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in _HIDDEN
        self.literal += tag == "pre"
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in _HIDDEN))
        self.literal = max(0, self.literal - (tag == "pre"))
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data if self.literal else re.sub(r"\s+", " ", data))


def text_of_html(source: str) -> str:
    """The readable text of a page: block tags become line breaks, code keeps its spacing."""
    parser = _Text()
    parser.feed(source)
    text = re.sub(r"[ \t]+\n", "\n", "".join(parser.parts)).replace("\u00b6", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def pages(folder: Path, pattern: str) -> Iterator[str]:
    """Every HTML or Mallard page below ``folder`` matching ``pattern``."""
    for path in sorted(folder.rglob(pattern)):
        if not re.search(r"genindex|searchindex|py-modindex|/ix\d|whatsnew/changelog", str(path)):
            yield text_of_html(path.read_text("utf-8", "replace"))


def dictd(folder: Path, group: int = 12) -> Iterator[str]:
    """A dict.dz dictionary, ``group`` neighbouring entries a document, mark-up braces removed."""
    raw = gzip.decompress(next(folder.rglob("*.dict.dz")).read_bytes()).decode("utf-8", "replace")
    entries = re.split(r"\n\n(?=\S)", raw)
    for start in range(0, len(entries), group):
        text = re.sub(r"\n[ \t]+", "\n", "\n\n".join(entries[start : start + group]))
        text = re.sub(r"(?<=\S)\n(?=\S)", " ", text)
        yield re.sub(r"[{}]|\[1913 Webster\]|\\[^\\\n]{1,60}\\,?|\[\w+\.?\]", "", text)


def wordnet(folder: Path, group: int = 12) -> Iterator[str]:
    """Definitions and example sentences, ``group`` neighbouring senses a document (neighbours share a topic)."""
    for kind in ("noun", "verb", "adj", "adv"):
        senses = []
        for line in next(folder.rglob(f"data.{kind}")).read_text("utf-8", "replace").splitlines():
            if "|" not in line or line.startswith(" "):
                continue
            fields, gloss = line.split("|", 1)
            parts = fields.split()
            words = [parts[4 + 2 * i].replace("_", " ") for i in range(int(parts[3], 16))]
            senses.append(f"{', '.join(words)}: {gloss.strip()}.")
        for start in range(0, len(senses), group):
            yield "\n".join(senses[start : start + group])


def factbook(folder: Path) -> Iterator[str]:
    """One document a section of a country, as "heading: text" lines."""
    for path in sorted(folder.rglob("data/*/*.json")):
        for section, entries in json.loads(path.read_text("utf-8")).items():
            lines = [f"{section}"]
            for name, entry in entries.items() if isinstance(entries, dict) else ():
                found = " ".join(_texts(entry))
                if found:
                    lines.append(f"{name}: {text_of_html(html.unescape(found))}")
            yield "\n".join(lines)


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)


def scripture(folder: Path) -> Iterator[str]:
    """The King James Bible out of a SWORD zText module: indexed zlib blocks of mark-up."""
    for path in sorted(folder.rglob("*.bzz"), reverse=True):
        raw = path.read_bytes()
        for start, size, _ in struct.iter_unpack("<III", path.with_suffix(".bzs").read_bytes()):
            text = zlib.decompress(raw[start : start + size]).decode("utf-8", "replace")
            yield re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", " ", text)).replace("  ", " ").strip()


def austen(folder: Path) -> Iterator[str]:
    """Jane Austen's novels out of an R data file: zlib-compressed serialised character vectors."""
    raw = next(folder.rglob("data/Rdata.rdb")).read_bytes()
    for match in re.finditer(rb"\x78[\x01\x9c\xda]", raw):
        try:
            data = zlib.decompressobj().decompress(raw[match.start() :])
        except zlib.error:
            continue
        lines = _r_strings(data)
        for chunk in re.split(r"\n(?=CHAPTER|Chapter)", "\n".join(lines)):
            yield re.sub(r"(?<=\S)\n(?=\S)", " ", chunk).strip()


def _r_strings(data: bytes) -> list[str]:
    """CHARSXP items of an R serialisation: flags 00 04 00 09 (ASCII) or 00 00 .. 09, a length, the bytes."""
    lines, at = [], 0
    while (at := data.find(b"\x00\x04\x00\x09", at)) >= 0:
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if size > 1 << 16:
            at += 4
            continue
        lines.append(data[at + 8 : at + 8 + size].decode("latin-1"))
        at += 8 + size
    return lines


def fortunes(folder: Path, group: int = 8) -> Iterator[str]:
    """Quotations and jokes, ``group`` a document."""
    for path in sorted((folder / "usr/share/games/fortunes").iterdir()):
        if path.is_file() and not path.suffix and "art" not in path.name:
            items = path.read_text("utf-8", "replace").split("\n%\n")
            for start in range(0, len(items), group):
                yield "\n\n".join(items[start : start + group])
