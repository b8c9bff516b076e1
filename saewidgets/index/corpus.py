"""Texts, or windows of token numbers, as numbered shards: the unit that is scanned, kept, lost and retried."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saewidgets.lm.model import LanguageModel
from saewidgets.lm.texts import documents

CONTEXT = 256  # tokens a window, BOS included
SHARD = 128  # windows; a killed scan loses at most the shard it was reading
SHORTEST = 8  # tokens; shorter remainders of a longer text are not worth a window
PLACE = 16  # bits of a key for the position: key = window << PLACE | position


@dataclass(frozen=True, eq=False)
class Shard:
    """Some windows of a corpus.

    Attributes:
        number: its place among the shards, from 0.
        first: number in the corpus of its first window.
        windows: token numbers, int32 ``[n]`` each, BOS included where there is one.
        shown: bool, whether examples may be taken from each window; statistics take all.
    """

    number: int
    first: int
    windows: tuple[np.ndarray, ...]
    shown: np.ndarray

    @property
    def digest(self) -> str:
        """A fingerprint of the token numbers, to notice other texts when a scan goes on."""
        found = hashlib.blake2b(digest_size=16)
        for window, shown in zip(self.windows, self.shown, strict=True):
            found.update(len(window).to_bytes(4, "little") + bytes([bool(shown)]))
            found.update(np.ascontiguousarray(window, np.int32).tobytes())
        return found.hexdigest()

    def tokens(self, keys: np.ndarray) -> np.ndarray:
        """Token numbers, int32, at ``keys``."""
        flat = np.concatenate(self.windows)
        starts = np.cumsum([0, *map(len, self.windows)])
        return flat[starts[(keys >> PLACE) - self.first] + (keys & ((1 << PLACE) - 1))]


def text_windows(
    model: LanguageModel, texts: Any, *, context_size: int = CONTEXT, prepend_bos: bool = True
) -> Iterator[np.ndarray]:
    """Windows of token numbers of ``texts``, whatever `documents` takes; each begins with BOS where texts do."""
    size = max(2, min(context_size, model.window))
    for text in documents(texts):
        if isinstance(text, str) and not text.strip():
            continue
        tokens = model.tokens(text, prepend_bos)
        ids, front = np.array(tokens.ids, np.int32), int(tokens.has_bos)
        for start in range(front, len(ids), size - front):
            piece = ids[start : start + size - front]
            if start == front or len(piece) >= SHORTEST:
                yield np.concatenate([ids[:front], piece])


def shards(windows: Iterable[np.ndarray], shown: Iterable[bool] | None = None, size: int = SHARD) -> Iterator[Shard]:
    """Group windows, ``size`` a shard, in their order; nothing is held but the current shard.

    Args:
        windows: token numbers of each window, any integer dtype.
        shown: whether examples may be taken from each window; all by default.
        size: windows a shard.

    Raises:
        ValueError: when there is no window, or one is empty or longer than 65 536 tokens.
    """
    flags = iter(shown) if shown is not None else None
    batch: list[np.ndarray] = []
    allowed: list[bool] = []
    number = first = 0
    for window in windows:
        if not 0 < len(window) <= 1 << PLACE:
            raise ValueError(f"a window must hold 1 to {1 << PLACE} tokens, got {len(window)}")
        batch.append(np.asarray(window, np.int32))
        allowed.append(True if flags is None else bool(next(flags)))
        if len(batch) == size:
            yield Shard(number, first, tuple(batch), np.array(allowed))
            number, first, batch, allowed = number + 1, first + size, [], []
    if batch:
        yield Shard(number, first, tuple(batch), np.array(allowed))
    elif not number:
        raise ValueError("the corpus is empty: there is no text to scan")
