"""Tokens to text while they come: pieces of whole characters, ended by stop strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

BROKEN = "\ufffd"  # what decoding gives for bytes that are no character, or not yet


class TextStream:
    """The text of one row, handed out as it is certain; the pieces join to `text`.

    Args:
        tokenizer: a Hugging Face tokenizer.
        stop_strings: the text ends before the first of these to be complete.
        emit: receives every piece.

    Raises:
        TypeError: when ``stop_strings`` is one string, or holds something else.
        ValueError: when one of them is empty.

    Example:
        >>> stream = TextStream(tokenizer, stop_strings=["."])
        >>> stream.feed(253)
    """

    def __init__(
        self, tokenizer: Any, stop_strings: Sequence[str] = (), emit: Callable[[str], None] | None = None
    ) -> None:
        if isinstance(stop_strings, str) or not all(isinstance(stop, str) for stop in stop_strings):
            raise TypeError(f"stop_strings must be a list of strings, got {stop_strings!r}")
        if not all(stop_strings):
            raise ValueError("a stop string is empty: give at least one character")
        self.text = ""
        self.ended = False
        self._tokenizer, self._stops, self._emit = tokenizer, tuple(stop_strings), emit
        self._ids: list[int] = []
        self._shown = self._context = 0  # tokens already decoded, and the first one decoded beside new ones
        self._held = ""

    def feed(self, token: int) -> None:
        """Take the next token; what it completes is handed out."""
        self._ids.append(token)
        piece = self._piece()
        if not piece.endswith(BROKEN):  # perhaps only part of a character: wait
            self._take(piece)
            self._advance(bool(piece))

    def close(self) -> None:
        """Hand out what was held back: unfinished characters, and what might have begun a stop string."""
        self._take(self._piece())
        self._advance(True)
        if not self.ended:
            self._give(self._held)
            self._held = ""

    def _piece(self) -> str:
        # Beside the tokens before it, as a tokenizer may write a token differently at the start of a text.
        before = self._decode(self._ids[self._context : self._shown])
        return self._decode(self._ids[self._context :])[len(before) :]

    def _advance(self, visible: bool) -> None:
        if visible:
            self._context, self._shown = self._shown, len(self._ids)

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _take(self, piece: str) -> None:
        if self.ended:
            return
        self._held += piece
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.ended = True
            self._give(self._held[: min(found)[1]])
            self._held = ""
            return
        keep = self._perhaps()
        self._give(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]

    def _perhaps(self) -> int:
        """How many characters at the end could still become a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        ends = range(min(longest, len(self._held)), 0, -1)
        return next((n for n in ends if any(stop.startswith(self._held[-n:]) for stop in self._stops)), 0)

    def _give(self, piece: str) -> None:
        if piece:
            self.text += piece
            if self._emit is not None:
                self._emit(piece)
