"""Text to tokens and back to strings a person can read, byte for byte."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Text = str | Sequence[dict[str, str]]
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Tokens:
    """One text as the model sees it.

    Attributes:
        text: as a string; a chat is written out with the model's template.
        ids: token numbers, BOS included where it was prepended or already there.
        has_bos: whether position 0 is BOS.
    """

    text: str
    ids: tuple[int, ...]
    has_bos: bool


def tokenize(tokenizer: Any, text: Text, prepend_bos: bool = True, add_generation_prompt: bool = False) -> Tokens:
    """Token numbers of a text or chat, with BOS prepended at most once, and not where the tokenizer has none.

    Raises:
        TypeError: when ``text`` is neither a string nor a chat.
        ValueError: when it is empty, or a chat is given to a tokenizer without a chat template, or its template refuses
            the chat; with ``add_generation_prompt`` also when the chat has an unknown role or ends with the
            assistant's turn.
    """
    written = text if isinstance(text, str) else _write_chat(tokenizer, text, add_generation_prompt)
    ids = list(tokenizer(written, add_special_tokens=False, verbose=False)["input_ids"])
    if not ids:
        raise ValueError("the text is empty: give at least one token of text")
    bos = tokenizer.bos_token_id
    if prepend_bos and bos is not None and ids[0] != bos:
        ids.insert(0, bos)
    return Tokens(written, tuple(ids), bos is not None and ids[0] == bos)


def _write_chat(tokenizer: Any, chat: Any, add_generation_prompt: bool) -> str:
    if not isinstance(chat, Sequence) or not all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in chat):
        raise TypeError(
            f'expected a string or a chat like [{{"role": "user", "content": "…"}}], got {type(chat).__name__}'
        )
    if not chat:
        raise ValueError("the chat is empty: give at least one message")
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("this model's tokenizer has no chat template: pass a plain string instead of a chat")
    if add_generation_prompt:
        _require_answerable(chat, str(tokenizer.chat_template))
    try:
        return tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:  # a template is the model's own program and raises what it likes
        raise ValueError(f"this model's chat template refuses the chat: {error}") from None


def _require_answerable(chat: Sequence[dict[str, str]], template: str) -> None:
    """Most templates write any role and any order down, and the model then answers a chat it never saw the like of."""
    for number, role in enumerate((message["role"] for message in chat), 1):
        if role not in ROLES and f"'{role}'" not in template and f'"{role}"' not in template:
            raise ValueError(f"turn {number} of the chat has the role {role!r}; known are {', '.join(ROLES)}")
    if chat[-1]["role"] == "assistant":
        raise ValueError("the chat ends with the assistant's turn: end it with the user's, which the model answers")


def token_bytes(tokenizer: Any, ids: Sequence[int]) -> list[bytes]:
    """The bytes every token stands for.

    Byte-level BPE spells bytes as printable characters (GPT-2), SentencePiece as ``<0xF0>`` and spaces as ``▁``;
    special tokens stand for their own name.
    """
    added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
    byte_level = _is_byte_level(tokenizer)
    return [_bytes_of(tokenizer, int(i), added, byte_level) for i in ids]


def _bytes_of(tokenizer: Any, number: int, added: dict[int, str], byte_level: bool) -> bytes:
    if number in added:
        return added[number].encode()
    token = tokenizer.convert_ids_to_tokens(number)
    if token is None:
        return f"<{number}?>".encode()
    if byte_level:
        table = _byte_of_char()
        if all(char in table for char in token):
            return bytes(table[char] for char in token)
    match = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)
    if match:
        return bytes([int(match[1], 16)])
    return token.replace("▁", " ").encode("utf-8", "replace")


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "byte_decoder")
    # The state of these two parts is a few bytes of JSON; writing out the whole tokenizer would take half a second.
    parts = (backend.decoder, backend.pre_tokenizer)
    return any(b"ByteLevel" in part.__getstate__() for part in parts if part is not None)


@functools.cache
def _byte_of_char() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 stands for itself, the other bytes for U+0100 and up, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    return table | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def readable(pieces: Sequence[bytes]) -> tuple[list[str], dict[int, tuple[int, int, str]]]:
    """Strings of tokens, where bytes that are only part of a character are written ``\\xF0``, never guessed at.

    Returns:
        The strings, and token → (part, parts, character) where a character is spread over several tokens.
    """
    try:
        return [piece.decode() for piece in pieces], {}
    except UnicodeDecodeError:
        pass  # some character is spread over several tokens, or some bytes are part of none
    whole = b"".join(pieces)
    owner = [token for token, piece in enumerate(pieces) for _ in piece]
    strings = [""] * len(pieces)
    split: dict[int, tuple[int, int, str]] = {}
    at = 0
    while at < len(whole):
        char, size = _next_char(whole, at)
        tokens = sorted(set(owner[at : at + size]))
        if char is not None and len(tokens) == 1:
            strings[tokens[0]] += char
        else:
            for place in range(at, at + size):
                strings[owner[place]] += f"\\x{whole[place]:02X}"
            if char is not None:
                split |= {token: (part, len(tokens), char) for part, token in enumerate(tokens, 1)}
        at += size
    return strings, split


def _next_char(data: bytes, at: int) -> tuple[str | None, int]:
    """The UTF-8 character starting at ``at`` and its length, or None and 1 for a byte that starts none."""
    lead = data[at]
    size = (
        1
        if lead < 0x80
        else 2
        if 0xC2 <= lead < 0xE0
        else 3
        if 0xE0 <= lead < 0xF0
        else 4
        if 0xF0 <= lead < 0xF5
        else 0
    )
    try:
        return data[at : at + size].decode("utf-8") if size else None, size or 1
    except UnicodeDecodeError:
        return None, 1
