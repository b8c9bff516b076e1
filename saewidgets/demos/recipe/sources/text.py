"""What every reader needs: mark-up to text, lines joined to paragraphs, small pieces grouped to documents."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

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


def untagged(text: str) -> str:
    """Text without tags and with character references resolved, on one line a paragraph."""
    return re.sub(r"[ \t]+", " ", html.unescape(re.sub(r"<[^<>]*>", " ", text))).strip()


def paragraphs(text: str) -> str:
    """Hard-wrapped lines joined: only empty lines and indented lines still begin a new line."""
    return re.sub(r"(?<=\S)[ \t]*\n(?=[^\s])", " ", text.replace("\r", ""))


def grouped(pieces: Iterable[str], size: int) -> Iterator[str]:
    """Documents of ``size`` neighbouring pieces, an empty line between them."""
    several = iter(pieces)
    while group := list(itertools.islice(several, size)):
        yield "\n\n".join(group)
