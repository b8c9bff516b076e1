"""Works of reference: dictd dictionaries, WordNet, the World Factbook, ontologies."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from .text import grouped, text_of_html


def dictd(folder: Path, group: int = 12) -> Iterator[str]:
    """A dict.dz dictionary, ``group`` neighbouring entries a document, without braces, references and bare dates."""
    raw = gzip.decompress(next(folder.rglob("*.dict.dz")).read_bytes()).decode("utf-8", "replace")
    raw = re.sub(r"\n *\(\d{4}-\d\d-\d\d\)(?=\n|\Z)", "", raw)
    for text in grouped(re.split(r"\n\n(?=\S)", raw), group):
        text = re.sub(r"\n[ \t]+", "\n", text)
        text = re.sub(r"(?<=\S)\n(?=\S)", " ", text)
        text = re.sub(r"[{}]|\\[^\\\n]{1,60}\\,?", "", text)
        yield re.sub(r"\n{3,}", "\n\n", re.sub(r"\[(?:\w+\.?|1913 Webster|Jargon File)\]", "", text))


def webster(folder: Path) -> Iterator[str]:
    """The Collaborative International Dictionary, without etymologies, pronunciations and derived forms."""
    for text in dictd(folder):
        text = re.sub(r'\([^()]*[\["*`?^][^()]*\),? ?|\(-[^()]*\),? ?', "", text)
        text = re.sub(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]", "", text)
        text = re.sub(r'\s*--\s*\S*[*"]\S* (?:a|adv|n|v)\.', "", text)
        yield re.sub(r"[ \t]+", " ", text)


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
                found = text_of_html(html.unescape(" ".join(_texts(entry))))
                if found and sum(map(str.isdigit, found)) < 0.08 * len(found):
                    lines.append(f"{name}: {found}")
            yield "\n".join(lines)


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)


def ontology(folder: Path, pattern: str, group: int = 8) -> Iterator[str]:
    """Terms of an OBO file that have a definition, as "name: definition" with the editors' comment."""
    for path in sorted(folder.rglob(pattern)):
        terms = []
        for block in path.read_text("utf-8", "replace").split("\n[Term]\n")[1:]:
            name = re.search(r"^name: (.+)", block, re.M)
            meaning = re.search(r'^def: "((?:[^"\\]|\\.)*)"', block, re.M)
            comment = re.search(r"^comment: (.+)", block, re.M)
            if name and meaning:
                more = f" {comment[1]}" if comment else ""
                terms.append(f"{name[1]}: {meaning[1]}{more}".replace("\\n", " ").replace('\\"', '"'))
        yield from grouped(terms, group)
