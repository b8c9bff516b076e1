"""Pages: HTML and Mallard documentation, Wikipedia dumps."""

from __future__ import annotations

import bz2
import html
import re
from collections.abc import Iterator
from pathlib import Path

from .text import text_of_html


def pages(folder: Path, pattern: str) -> Iterator[str]:
    """Every HTML or Mallard page below ``folder`` matching ``pattern``, without the navigation around its main part."""
    for path in sorted(folder.rglob(pattern)):
        if not re.search(r"genindex|searchindex|py-modindex|/ix\d|whatsnew/changelog", str(path)):
            source = path.read_text("utf-8", "replace")
            begin = re.search(r'<(?:main\b|\w+ [^<>]*role="main")', source)
            if begin:
                source = re.split(r'</main>|<[^<>]*class="(?:sphinxsidebar|related)|<footer', source[begin.start() :])[
                    0
                ]
            yield re.sub(r"^(?:Download the ebook|Prev|Next)\n+", "", text_of_html(source), flags=re.M)


def wikipedia(folder: Path, pattern: str) -> Iterator[str]:
    """Articles of a bzip2-compressed MediaWiki dump, redirects and other namespaces left out."""
    for path in sorted(folder.rglob(pattern)):
        dump = bz2.decompress(path.read_bytes()).decode("utf-8", "replace")
        for page in re.finditer(r"<title>([^<]*)</title>\s*<ns>0</ns>.*?<text[^>]*>(.*?)</text>", dump, re.S):
            source = html.unescape(page[2])
            if not source.lower().startswith("#redirect"):
                yield f"{page[1]}\n\n{text_of_wiki(source)}"


def text_of_wiki(source: str) -> str:
    """The running text of a wiki page: templates, tables, references, files and the closing lists removed."""
    source = re.split(r"\n==+ *(?:See also|References|Notes|External links|Further reading|Bibliography) *==+", source)[
        0
    ]
    source = re.sub(
        r"<!--.*?-->|<ref[^<>]*/>|<ref.*?</ref>|<math>.*?</math>|<gallery.*?</gallery>", "", source, flags=re.S
    )
    for opened, closed in ((r"\{\{", r"\}\}"), (r"\{\|", r"\|\}")):
        before = None
        while before != source:
            before, source = source, re.sub(rf"{opened}(?:(?!{opened}|{closed}).)*{closed}", "", source, flags=re.S)
    source = re.sub(r"\[\[(?:File|Image|Category):(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", "", source)
    source = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]", r"\1", source)
    source = re.sub(r"\[https?:\S+ ?([^\]]*)\]", r"\1", source)
    source = re.sub(r"'{2,}|<[^<>]*>", "", source)
    source = re.sub(r"^=+ *(.*?) *=+ *$", r"\1", source, flags=re.M)
    source = re.sub(r"^[*#:;]+ *", "- ", source, flags=re.M)
    source = re.sub(r"\( *[;,]? *\)", "", source)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t\u00a0]+", " ", html.unescape(source))).strip()
