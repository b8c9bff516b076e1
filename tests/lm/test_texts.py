"""Documents from strings, chats, iterables and files; and a plain error for everything else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saewidgets.lm import texts as lm_texts
from saewidgets.lm.texts import documents

CHAT = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("One.", ["One."]),
        (CHAT, [CHAT]),
        (["One.", "Two."], ["One.", "Two."]),
        (("One.", CHAT), ["One.", CHAT]),
        ([CHAT, CHAT], [CHAT, CHAT]),
        ([""], [""]),
    ],
)
def test_what_is_a_document(texts: Any, expected: Any) -> None:
    assert list(documents(texts)) == expected
    assert list(documents(text for text in texts)) == expected if isinstance(texts, tuple) else True


def test_an_endless_iterable_is_not_read_ahead() -> None:
    import itertools

    found = documents(f"text {n}" for n in itertools.count())
    assert [next(found), next(found)] == ["text 0", "text 1"]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(params=["", ".gz"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Writes a file, plain and gzipped."""
    return lambda name, data: write(tmp_path / (name + request.param), data)


def test_txt_is_one_text(file: Callable[[str, bytes], Path]) -> None:
    path = file("corpus.txt", "Öne\r\ntwo\n\nthree 🌉".encode())
    assert list(documents(path)) == ["Öne\ntwo\n\nthree 🌉"]
    assert list(documents([path, "more", path])) == ["Öne\ntwo\n\nthree 🌉", "more", "Öne\ntwo\n\nthree 🌉"]
    assert list(documents(file("bom.TXT", b"\xef\xbb\xbfhi"))) == ["hi"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("a \n🌉éע"), max_size=80), size=st.integers(1, 40))
def test_pieces_of_a_long_txt_join_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setattr(lm_texts, "PIECE_BYTES", size)
    path = write(tmp_path / "long.txt", ("x" + text + "x").encode())
    found = [str(piece) for piece in documents(path)]
    assert "".join(found).replace("\n", "").replace(" ", "") == f"x{text}x".replace("\n", "").replace(" ", "")
    assert all(len(piece.encode()) <= 2 * size + 8 for piece in found)


def test_jsonl(file: Callable[[str, bytes], Path]) -> None:
    rows = [{"text": "One."}, {"id": 3, "text": CHAT}, {"text": "Zwei 🌉"}]
    path = file("corpus.jsonl", "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    assert list(documents(path)) == ["One.", CHAT, "Zwei 🌉"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("c.txt", b"", r"c\.txt(\.gz)? holds no text: the corpus is empty"),
        ("c.txt", b" \n\n", "holds no text"),
        ("c.jsonl", b"\n", "holds no text"),
        ("c.txt", b"abc\nd\xff", r"c\.txt(\.gz)? is not UTF-8: byte 5 is 0xFF"),
        ("c.txt", "é".encode()[:1], "byte 0 is 0xC3"),
        ("c.txt", b"\x80" * 9, "byte 0 is 0x80"),
        ("c.txt", b"\xef\xbb\xbfab\xff", "byte 5 is 0xFF"),
        ("c.jsonl", b'{"text": "a"}\n{"text": "\xff"}', "byte 24 is 0xFF"),
        ("c.jsonl", b'{"text": "a"}\n{"body": "b"}', r"line 2 has 'body', but every line needs a field \"text\""),
        ("c.jsonl", b"{}", "line 1 has no field"),
        ("c.jsonl", b'\n["a"]', "line 2 is not an object"),
        ("c.jsonl", b'{"text": 3}', 'line 1: "text" must be a string or a chat, got int'),
        ("c.jsonl", b'{"text": "a"', "line 1 is not JSON"),
        ("c.jsonl", b"[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_bad_files(file: Callable[[str, bytes], Path], name: str, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(documents(file(name, data)))


def test_the_byte_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_texts, "PIECE_BYTES", 7)
    path = write(tmp_path / "c.txt", ("line é\n" * 30).encode() + b"x\xfe")
    with pytest.raises(ValueError, match="byte 241 is 0xFE"):
        list(documents(path))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:12] + b"\xff" * 9 + data[21:], lambda _: b"x"]
)
def test_a_damaged_gzip_file(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "c.txt.gz"
    path.write_bytes(damage(gzip.compress(b"some text, and more of it, and more " * 9)))
    with pytest.raises(ValueError, match=r"c\.txt\.gz is damaged"):
        list(documents(path))


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        list(documents(tmp_path / "none.txt"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        list(documents(tmp_path))
    with pytest.raises(ValueError, match=r"not of a kind that texts are read from: \.txt"):
        list(documents(write(tmp_path / "c.parquet", b"PAR1")))


@pytest.mark.parametrize("texts", [[], (), iter([]), (text for text in [])])
def test_no_text_at_all(texts: Any) -> None:
    with pytest.raises(ValueError, match="no text was given: the corpus is empty"):
        list(documents(texts))


def test_a_string_that_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "corpus.txt", b"text")
    for texts in ("corpus.txt", str(tmp_path / "corpus.txt"), ["fine", "corpus.txt"]):
        with pytest.raises(ValueError, match=r"is a file here: pass pathlib\.Path\("):
            list(documents(texts))
    assert list(documents("a null \0 byte")) == ["a null \0 byte"]
    assert list(documents("other.txt")) == ["other.txt"]
    assert len(next(documents("/x" * 3000))) == 6000


@pytest.mark.parametrize("texts", [None, 3, b"bytes", {"text": "a"}, object()], ids=repr)
def test_things_that_are_no_texts(texts: Any) -> None:
    with pytest.raises(TypeError, match=r"texts must be a string, a chat, a pathlib\.Path or an iterable"):
        documents(texts)


@pytest.mark.parametrize(("texts", "name"), [([None], "NoneType"), (["a", b"b"], "bytes"), ([["a"]], "list")])
def test_documents_that_are_no_texts(texts: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"document {len(texts) - 1} must be .* got {name}"):
        list(documents(texts))


def test_rows_of_a_table() -> None:
    with pytest.raises(TypeError, match=r"row\['text'\] for row in rows"):
        list(documents([{"text": "a"}]))
