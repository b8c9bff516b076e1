"""What is kept of the documents: parts of a few pages, in readable English, each only once."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

PART = 8_000  # characters, about 1800 tokens
SHORTEST = 150
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "the of and to a in is it that was for on as with be by at this are or from an you i he his not but have had "
        "they which she her if can will my we your their all so what there when do me no one more who",
    )
)


def parts(text: str) -> Iterator[str]:
    """A document in parts of at most ``PART`` characters, cut at the ends of lines where there are some."""
    while len(text) >= SHORTEST:
        end = len(text)
        if end > PART:
            end = max(text.rfind("\n", PART // 2, PART), text.rfind(". ", PART // 2, PART) + 1) + 1 or PART
        yield text[:end].strip()
        text = text[end:]


def readable(text: str) -> bool:
    """Whether a part reads as English: mostly letters, enough everyday words, no repeated or merely numbered lines."""
    words = re.findall(r"[a-z]+", text.lower())
    lines = [line for line in text.splitlines() if line.strip()]
    return (
        len(text) >= SHORTEST
        and len(re.sub(r"[A-Za-z\u00c0-\u017f \n]+", "", text)) < 0.3 * len(text)
        and sum(word in _COMMON for word in words) > 0.12 * len(words)
        and len(set(lines)) > 0.6 * len(lines)
        and sum(bool(re.match(r"\s*(?:\d+|[A-Z])\.(?:\d|$)", line)) for line in lines) < 0.3 * len(lines)
    )


class Seen:
    """Parts met before, by shingles of 50 characters taken at about every eighth word."""

    def __init__(self) -> None:
        self._shingles: set[int] = set()

    def is_new(self, text: str) -> bool:
        """Whether under a third of the part's shingles were met before; a new part is remembered."""
        plain = " ".join(re.findall(r"\w+", text.lower()))
        found = {
            zlib.crc32(plain[word.start() : word.start() + 50].encode())
            for word in re.finditer(r"\w+", plain)
            if zlib.crc32(word[0].encode()) % 8 == 0
        }
        known = len(found & self._shingles)
        if found and known * 3 > len(found):
            return False
        self._shingles |= found
        return True
