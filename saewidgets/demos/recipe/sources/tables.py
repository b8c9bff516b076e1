"""Tables of texts: news, reviews, tweets, and who said what in dialogue, debate and parliament."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .text import grouped, untagged


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file, as it is or inside .gz, .bz2 or .zip, or of an Orange .tab file (two more header lines)."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            raw = archive.read(archive.namelist()[0])
    else:
        raw = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)(path.read_bytes())
    text = io.StringIO(raw.decode("utf-8", "replace"), newline="")
    if path.suffix == ".tab":
        yield from itertools.islice(csv.DictReader(text, delimiter="\t"), 2, None)
    else:
        yield from csv.DictReader(text)


def articles(folder: Path, pattern: str, columns: Sequence[str], group: int = 1) -> Iterator[str]:
    """The named columns of every row under each other, ``group`` rows a document."""
    for path in sorted(folder.rglob(pattern)):
        texts = ("\n".join(filter(None, (tidied(row[name] or "") for name in columns))) for row in rows(path))
        yield from grouped(texts, group)


def dialogue(folder: Path, pattern: str, speaker: str, text: str, scene: str, only: str = "") -> Iterator[str]:
    """Rows that agree in the column ``scene``, where it matches ``only``, as "speaker: text" lines."""
    for path in sorted(folder.rglob(pattern)):
        for key, lines in itertools.groupby(rows(path), lambda row: row[scene]):
            if re.match(only, key):
                yield "\n".join(f"{row[speaker].title()}: {tidied(row[text])}" for row in lines if row[text])


def by(folder: Path, pattern: str, heading: str, text: str) -> Iterator[str]:
    """Texts of neighbouring rows under the heading they share."""
    for path in sorted(folder.rglob(pattern)):
        for name, several in itertools.groupby(rows(path), lambda row: row[heading]):
            title = re.sub(r"(.*) (The|A|An)", r"\2 \1", name.replace("_", " ").title())
            yield f"{title}\n\n" + "\n".join(tidied(row[text]) for row in several)


def tidied(text: str) -> str:
    """One cell: tags, links, user handles and the marks of lost quotation signs removed."""
    text = re.sub(r'(?<=\w)"(?=\w)', "'", untagged(text))
    text = re.sub(r'"\?(?=\w)', '" ', text)
    text = re.sub(r"(?<=[a-z][.?!])(?=[A-Z][a-z])", " ", text)
    return re.sub(r"[ \t]+", " ", re.sub(r"https?://\S+|pic\.twitter\.com/\S+|\bRT @\w+:", "", text)).strip()


def snippets(folder: Path, member: str, group: int = 12) -> Iterator[str]:
    """Rated sentences out of VADER's archive: an identifier "document_sentence", a score and the sentence a line."""
    with tarfile.open(next(folder.rglob("hutto_ICWSM_2014.tar.gz"))) as archive:
        file = archive.extractfile(f"hutto_ICWSM_2014/{member}")
        lines = file.read().decode("utf-8", "replace").splitlines() if file else []
    found = [line.split("\t") for line in lines]
    if "_" in found[0][0]:
        for _, sentences in itertools.groupby(found, lambda fields: fields[0].split("_")[0]):
            yield tidied(" ".join(fields[-1] for fields in sentences))
    else:
        yield from grouped((tidied(fields[-1]) for fields in found), group)


def lines(folder: Path, pattern: str) -> Iterator[str]:
    """Text files that hold a document a line."""
    for path in sorted(folder.rglob(pattern)):
        yield from map(tidied, path.read_text("utf-8", "replace").splitlines())


def sentences(folder: Path, pattern: str, group: int = 12) -> Iterator[str]:
    """JSON lists of single sentences, ``group`` a document."""
    for path in sorted(folder.rglob(pattern)):
        yield from grouped(json.loads(path.read_text("utf-8")), group)


def conventions(folder: Path, pattern: str) -> Iterator[str]:
    """Speeches of a JSON list of parties."""
    for path in sorted(folder.rglob(pattern)):
        for party in json.loads(path.read_text("utf-8")):
            yield from party["speeches"]
