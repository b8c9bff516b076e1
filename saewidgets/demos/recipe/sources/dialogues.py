"""Conversations: questions and answers, newsgroup posts."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from .text import grouped

_HEADERS = ("From", "Subject", "Organization", "Date")


def conversations(folder: Path, pattern: str, group: int = 5) -> Iterator[str]:
    """ChatterBot's YAML conversations, ``group`` a document, a line a turn."""
    for path in sorted(folder.rglob(pattern)):
        found = []
        for conversation in re.split(r"^- - ", path.read_text("utf-8").partition("conversations:")[2], flags=re.M)[1:]:
            turns = re.split(r"^  - ", conversation, flags=re.M)
            found.append("\n".join(f"- {_scalar(turn)}" for turn in turns))
        yield from grouped(found, group)


def newsgroups(folder: Path, pattern: str) -> Iterator[str]:
    """Newsgroup posts out of a zlib-compressed pickle, which is searched for its strings and never unpickled."""
    for path in sorted(folder.rglob(pattern)):
        for line in re.findall(rb"^a?V([A-Z][\w-]+: .*)$", zlib.decompress(path.read_bytes()), re.M):
            headers, _, body = line.decode("raw_unicode_escape").partition("\n\n")
            kept = [header for header in headers.splitlines() if header.partition(":")[0] in _HEADERS]
            yield "\n".join(kept) + "\n\n" + body


def _scalar(turn: str) -> str:
    turn = turn.rstrip()
    if turn.startswith(("|", ">")):
        return re.sub(r"^    ", "", turn.partition("\n")[2], flags=re.M)
    return re.sub(r"\s*\n\s+", " ", turn).strip("'\"").replace("''", "'")
