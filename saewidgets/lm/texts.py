"""Texts from wherever they are: strings, chats, iterables of them, files; one document after another."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from saewidgets.lm.tokens import Text

PIECE_BYTES = 1 << 16
"""A ``.txt`` file is handed out in pieces of about this size, cut at line ends: many windows each, never the whole."""
SUFFIXES = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz")
_BOM = b"\xef\xbb\xbf"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


def documents(texts: Any) -> Iterator[Text]:
    """Every document of ``texts``, in order; nothing is held but the current one.

    Args:
        texts: a string, a chat, a `pathlib.Path`, or an iterable of these. Files are UTF-8, gzipped if they end in
            ``.gz``: a ``.txt`` is one long text, a ``.jsonl`` has an object a line with the document in ``"text"``.

    Raises:
        TypeError: when ``texts`` or a document is none of these; at once where ``texts`` itself is wrong.
        FileNotFoundError: when a path leads to no file.
        ValueError: when there is no document at all, a string is the name of a file, or a file is of another kind,
            damaged, not UTF-8, or lacks ``"text"`` in a line; the message names file, line or byte.

    Example:
        >>> list(documents(["One.", "Two."]))
        ['One.', 'Two.']
    """
    if isinstance(texts, (str, Path)) or is_chat(texts):
        return _some(_one(texts), texts)
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise TypeError(_expected(texts))
    return _some(_each(texts), texts)


def is_chat(given: Any) -> bool:
    """Whether this is a list of messages, as in ``[{"role": "user", "content": "…"}]``."""
    return isinstance(given, Sequence) and bool(given) and isinstance(given[0], Mapping) and "role" in given[0]


def _expected(given: Any, where: str = "texts") -> str:
    hint = "; for rows of a table pass (row['text'] for row in rows)" if isinstance(given, Mapping) else ""
    return f"{where} must be a string, a chat, a pathlib.Path or an iterable of them, got {type(given).__name__}{hint}"


def _some(found: Iterator[Text], texts: Any) -> Iterator[Text]:
    first = next(found, None)
    if first is None:
        what = f"{texts} holds no text" if isinstance(texts, Path) else "no text was given"
        raise ValueError(f"{what}: the corpus is empty")
    yield first
    yield from found


def _each(texts: Iterable[Any]) -> Iterator[Text]:
    for number, document in enumerate(texts):
        if not isinstance(document, (str, Path)) and not is_chat(document):
            raise TypeError(_expected(document, f"document {number}"))
        yield from _one(document)


def _one(document: Any) -> Iterator[Text]:
    if isinstance(document, Path):
        yield from _file(document)
        return
    if isinstance(document, str) and _names_a_file(document):
        raise ValueError(
            f"{document!r} is a file here: pass pathlib.Path({document!r}) to read it (a string is the text itself)"
        )
    yield document


def _names_a_file(text: str) -> bool:
    if not 0 < len(text) < 1024 or "\n" in text:
        return False
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _file(path: Path) -> Iterator[Text]:
    kind = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}" if not path.is_dir() else f"{path} is a folder: pass a file")
    if kind is None:
        raise ValueError(f"{path} is not of a kind that texts are read from: {', '.join(SUFFIXES)}")
    read = _lines if ".jsonl" in kind else _pieces
    try:
        with gzip.open(path, "rb") if kind.endswith(".gz") else path.open("rb") as file:
            yield from read(file, path)
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged, its gzip stream cannot be read: {error}") from None


def _pieces(file: io.BufferedIOBase, path: Path) -> Iterator[str]:
    offset, data = 0, file.read(PIECE_BYTES)
    while following := file.read(PIECE_BYTES):
        cut = data.rfind(b"\n") + 1 or _last_character(data)
        yield from _nonempty(_decode(data[:cut], offset, path))
        offset, data = offset + cut, data[cut:] + following
    yield from _nonempty(_decode(data, offset, path))


def _nonempty(text: str) -> Iterator[str]:
    if text.strip():
        yield text


def _last_character(data: bytes) -> int:
    """Where the last, perhaps unfinished character begins."""
    start = max(len(data) - 4, 0)
    return next((place for place in range(len(data) - 1, start - 1, -1) if data[place] & 0xC0 != 0x80), len(data))


def _decode(data: bytes, offset: int, path: Path) -> str:
    skip = len(_BOM) if offset == 0 and data.startswith(_BOM) else 0
    try:
        return data[skip:].decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        byte = offset + skip + error.start
        raise ValueError(f"{path} is not UTF-8: byte {byte} is 0x{data[skip + error.start]:02X}") from None


def _lines(file: io.BufferedIOBase, path: Path) -> Iterator[Text]:
    offset = 0
    for number, line in enumerate(file, 1):
        written = _decode(line, offset, path)
        offset += len(line)
        if written.strip():
            yield _text_of(written, f"{path}, line {number}")


def _text_of(line: str, where: str) -> Text:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from None
    if not isinstance(row, dict) or "text" not in row:
        found = f"has {', '.join(map(repr, row)) or 'no field'}" if isinstance(row, dict) else "is not an object"
        raise ValueError(f'{where} {found}, but every line needs a field "text"')
    text = row["text"]
    if not isinstance(text, str) and not is_chat(text):
        raise ValueError(f'{where}: "text" must be a string or a chat, got {type(text).__name__}')
    return text
