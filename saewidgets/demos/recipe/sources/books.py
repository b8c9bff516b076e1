"""Longer prose and verse: scripture, novels, plays, speeches, the Brown corpus, fortunes."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from .text import grouped, paragraphs


def scripture(folder: Path) -> Iterator[str]:
    """A Bible out of a SWORD zText module: indexed zlib blocks of mark-up."""
    for path in sorted(folder.rglob("*.bzz"), reverse=True):
        raw = path.read_bytes()
        for start, size, _ in struct.iter_unpack("<III", path.with_suffix(".bzs").read_bytes()):
            text = zlib.decompress(raw[start : start + size]).decode("utf-8", "replace")
            text = re.sub(r"<note.*?</note>|<title.*?</title>|¶", "", text, flags=re.S)
            text = re.sub(r"<(?:chapter|verse|div)\b[^>]*>", "\n", text)
            text = re.sub(r"[ \t]+", " ", re.sub(r"<[^>]+>", "", text))
            yield re.sub(r"\s*\n\s*", "\n", re.sub(r" (?=[.,;:?!’)])", "", text)).strip()


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
            yield from grouped(path.read_text("utf-8", "replace").split("\n%\n"), group)


def plain(folder: Path, pattern: str) -> Iterator[str]:
    """Text files as they are."""
    for path in sorted(folder.rglob(pattern)):
        yield path.read_text("utf-8", "replace").replace("\r", "").strip()


def joined(folder: Path, pattern: str) -> Iterator[str]:
    """Text files whose hard-wrapped lines are joined to paragraphs, without Gutenberg's first and last lines."""
    for text in plain(folder, pattern):
        text = re.sub(r"\AProduced by .*?\n\n|\nEnd of the Project Gutenberg.*", "", text, flags=re.S)
        yield paragraphs(text.replace("_", "")).strip()


def brown(folder: Path) -> Iterator[str]:
    """The Brown corpus: word/tag pairs turned back into sentences, a sample a document."""
    for path in sorted(folder.rglob("c[a-r][0-9][0-9]")):
        # One empty line stands between sentences, two between paragraphs.
        found = re.split(r"\n\s*\n\s*\n", path.read_text("latin-1"))
        pairs = ([pair.rsplit("/", 1)[0] for pair in paragraph.split()] for paragraph in found)
        yield "\n\n".join(_untokenised(" ".join(words)) for words in pairs if words)


def _untokenised(words: str) -> str:
    words = re.sub(r"`` ?", '"', words).replace(" ''", '"').replace("''", '"')
    words = re.sub(r'"([,.?!])', r'\1"', re.sub(r" ([,.;:?!)\]])", r"\1", words))
    return re.sub(r"([(\[]) ", r"\1", re.sub(r'([,;:?!])("?)\1', r"\1\2", words))
