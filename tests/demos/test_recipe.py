"""The recipe of the demo SAE: windows, readers, harvest and self-written text, on small pieces of the real thing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saewidgets as sw
from saewidgets.demos.recipe import corpus, generate, train
from saewidgets.demos.recipe.sources.text import text_of_html
from saewidgets.demos.recipe.prompts import prompts


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


def test_prompts_differ_and_keep_their_order() -> None:
    assert prompts() == prompts()
    assert len(set(prompts())) == len(prompts()) > 2000


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
    (path,) = train.harvest(session.model, tmp_path, "held_out")
    found = np.load(path).astype(np.float32)
    shortest_first = sorted(texts, key=lambda text: len(session.model.tokens(text).ids))
    expected = np.concatenate([session.activations(text)[1:] for text in shortest_first])
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-2)
    stamp = path.stat().st_mtime_ns
    assert train.harvest(session.model, tmp_path, "held_out") == [path]
    assert path.stat().st_mtime_ns == stamp, "a finished shard is kept"


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
