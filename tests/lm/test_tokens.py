"""Tokens byte for byte: every text comes back whole, from both families of tokenizers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saewidgets.lm.tokens import readable, token_bytes, tokenize

CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
HOSTILE = [
    "</script><script>alert(1)</script>",
    "NUL \x00 and \x1b[31m escapes \x7f",
    "bidi \u202e evil \u2066 isolate \u2069 \u200f",
    "family 👨‍👩‍👧‍👦 flag 🏳️‍🌈 tone 👍🏽",
    "quotes \" ' ` & < > \\ \\xF0 \\u0041",
    "line\nbreak\r\ntab\t  double  space ",
    " leading and trailing ",
    "combining e\u0301 \u0f40\u0fb5",
    "日本語 עברית العربية Ελληνικά",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff \ufffd \ufeff",
    "<0x41> <0xF0>",
    "\n",
    "\x00",
]
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def bytes_of(tokenizer: Any, text: str) -> list[bytes]:
    return token_bytes(tokenizer, tokenize(tokenizer, text, prepend_bos=False).ids)


def brute_readable(pieces: list[bytes]) -> tuple[list[str], dict[int, tuple[int, int, str]]]:
    """The same by way of Python's own decoder: characters of the whole, dealt out to the tokens that hold them."""
    whole = b"".join(pieces)
    owner = [i for i, piece in enumerate(pieces) for _ in piece]
    strings, split, at = [""] * len(pieces), {}, 0
    for char in whole.decode("utf-8", "surrogateescape"):
        raw = char.encode("utf-8", "surrogateescape")
        owners = owner[at : at + len(raw)]
        lone = "\udc80" <= char <= "\udcff"
        if not lone and owners[0] == owners[-1]:
            strings[owners[0]] += char
        else:
            for byte, token in zip(raw, owners, strict=True):
                strings[token] += f"\\x{byte:02X}"
            distinct = list(dict.fromkeys(owners))
            if not lone:
                split |= {token: (n, len(distinct), char) for n, token in enumerate(distinct, 1)}
        at += len(raw)
    return strings, split


# ---- BOS ---------------------------------------------------------------------------------------------------------


def test_bos_is_prepended_once(byte_tokenizer: Any, sp_tokenizer: Any) -> None:
    for tokenizer in (byte_tokenizer, sp_tokenizer):
        bare = tokenize(tokenizer, "The bridge", prepend_bos=False)
        assert not bare.has_bos
        assert tokenizer.bos_token_id not in bare.ids
        found = tokenize(tokenizer, "The bridge")
        assert found.has_bos
        assert found.ids == (tokenizer.bos_token_id, *bare.ids)
        assert found.text == bare.text == "The bridge"


@pytest.mark.parametrize("prepend_bos", [True, False])
def test_bos_already_in_the_text_is_not_doubled(byte_tokenizer: Any, prepend_bos: bool) -> None:
    found = tokenize(byte_tokenizer, "<|bos|>The bridge", prepend_bos)
    assert found.ids.count(byte_tokenizer.bos_token_id) == 1
    assert found.has_bos


def test_no_bos_where_there_is_none(bosless_tokenizer: Any) -> None:
    assert bosless_tokenizer.bos_token_id is None
    found = tokenize(bosless_tokenizer, "The bridge", prepend_bos=True)
    assert not found.has_bos
    assert found.ids == tokenize(bosless_tokenizer, "The bridge", prepend_bos=False).ids


@pytest.mark.parametrize("prepend_bos", [True, False])
def test_a_chat_is_written_with_the_template_and_one_bos(chat_tokenizer: Any, prepend_bos: bool) -> None:
    found = tokenize(chat_tokenizer, CHAT, prepend_bos)
    assert found.text == "<|bos|>[user] Hello\n[assistant] Hi\n"
    assert found.ids.count(chat_tokenizer.bos_token_id) == 1
    assert found.ids[0] == chat_tokenizer.bos_token_id and found.has_bos
    prompt = tokenize(chat_tokenizer, CHAT[:1], prepend_bos, add_generation_prompt=True)
    assert prompt.text == "<|bos|>[user] Hello\n[assistant] "


def test_a_template_without_bos_gets_one(chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_tokenizer, "chat_template", "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert tokenize(chat_tokenizer, CHAT).ids[0] == chat_tokenizer.bos_token_id
    assert not tokenize(chat_tokenizer, CHAT, prepend_bos=False).has_bos


def test_a_tuple_of_messages_is_a_chat(chat_tokenizer: Any) -> None:
    assert tokenize(chat_tokenizer, tuple(CHAT)).ids == tokenize(chat_tokenizer, CHAT).ids


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prepend_bos", [True, False])
def test_an_empty_text_is_an_error(byte_tokenizer: Any, prepend_bos: bool) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        tokenize(byte_tokenizer, "", prepend_bos)


def test_a_chat_to_answer_ends_before_the_answer(chat_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="ends with the assistant's turn"):
        tokenize(chat_tokenizer, CHAT, add_generation_prompt=True)
    with pytest.raises(ValueError, match="turn 1 of the chat has the role 'usr'; known are system, developer, user"):
        tokenize(chat_tokenizer, [{"role": "usr", "content": "Hello"}], add_generation_prompt=True)
    assert tokenize(chat_tokenizer, [{"role": "usr", "content": "Hello"}]).text  # to be read, it may be anything


def test_a_role_the_template_names_is_known(byte_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "{% for m in messages %}{{ 'T' if m.role == 'ipython' else 'O' }}{{ m.content }}{% endfor %}"
    monkeypatch.setattr(byte_tokenizer, "chat_template", template)
    assert tokenize(byte_tokenizer, [{"role": "ipython", "content": "3"}], add_generation_prompt=True).text == "T3"


def test_a_template_that_refuses_says_why(byte_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_tokenizer, "chat_template", "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ValueError, match="chat template refuses the chat: roles must alternate"):
        tokenize(byte_tokenizer, CHAT)


@pytest.mark.parametrize("wrong", [3, None, b"bytes", ["a", "b"], [{"role": "user"}], {"role": "user"}, [CHAT]])
def test_another_type_is_an_error(chat_tokenizer: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a string or a chat"):
        tokenize(chat_tokenizer, wrong)


def test_an_empty_chat_is_an_error(chat_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="the chat is empty"):
        tokenize(chat_tokenizer, [])


def test_a_chat_without_a_template_is_an_error(byte_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="no chat template"):
        tokenize(byte_tokenizer, CHAT)


# ---- bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_bytes_come_back(byte_tokenizer: Any, sp_tokenizer: Any, text: str) -> None:
    assert b"".join(bytes_of(byte_tokenizer, text)) == text.encode()
    assert b"".join(bytes_of(sp_tokenizer, text)).removeprefix(b" ") == text.encode().removeprefix(b" ")


@given(text=any_text)
def test_byte_level_loses_no_byte(byte_tokenizer: Any, text: str) -> None:
    assert b"".join(bytes_of(byte_tokenizer, text)) == text.encode()


@given(text=any_text.filter(lambda text: "▁" not in text))  # SentencePiece itself reads ▁ as a space
def test_sentencepiece_loses_no_byte(sp_tokenizer: Any, text: str) -> None:
    found = b"".join(bytes_of(sp_tokenizer, text))
    assert found in (text.encode(), b" " + text.encode())


def test_special_tokens_stand_for_their_name(byte_tokenizer: Any, sp_tokenizer: Any) -> None:
    assert token_bytes(byte_tokenizer, [0, 1]) == [b"<|bos|>", b"<|eos|>"]
    assert token_bytes(sp_tokenizer, [1, 2]) == [b"<s>", b"</s>"]


def test_every_byte_has_a_token(byte_tokenizer: Any, sp_tokenizer: Any) -> None:
    single = {piece for i in range(len(byte_tokenizer)) if len(piece := token_bytes(byte_tokenizer, [i])[0]) == 1}
    assert single == {bytes([byte]) for byte in range(256)}
    assert token_bytes(sp_tokenizer, range(3, 259)) == [bytes([byte]) for byte in range(256)]


def test_a_number_beyond_the_vocabulary_does_not_break(byte_tokenizer: Any) -> None:
    assert token_bytes(byte_tokenizer, [99_999]) == [b"<99999?>"]


# ---- strings -----------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=5), max_size=12))
def test_readable_of_any_bytes(pieces: list[bytes]) -> None:
    assert readable(pieces) == brute_readable(pieces)


@given(any_text, st.lists(st.integers(0, 160), max_size=20))
def test_readable_of_text_cut_anywhere(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    strings, split = readable(pieces)
    assert (strings, split) == brute_readable(pieces)
    assert sum(len(s.replace("\\x", "")) for s in strings) >= len(text)
    for token, (part, parts, char) in split.items():
        assert 1 <= part <= parts
        assert char in text
        assert any(piece for piece in pieces[token : token + 1])
    if all(len(char.encode()) == 1 for char in text):
        assert "".join(strings) == text and not split


def test_parts_of_a_character_are_counted(byte_tokenizer: Any) -> None:
    pieces = bytes_of(byte_tokenizer, "a👍b")
    assert b"".join(pieces) == "a👍b".encode() and len(pieces) > 3
    assert {char for _, _, char in readable(pieces)[1].values()} == {"👍"}
    strings, split = readable([b"a", b"\xf0\x9f", b"\x91", b"\x8db"])
    assert strings == ["a", "\\xF0\\x9F", "\\x91", "\\x8Db"]
    assert split == {1: (1, 3, "👍"), 2: (2, 3, "👍"), 3: (3, 3, "👍")}


def test_empty_pieces_and_invalid_bytes() -> None:
    assert readable([]) == ([], {})
    assert readable([b"", b"a", b""]) == (["", "a", ""], {})
    assert readable([b"\xff", b"\xc0\x80", b"\xed\xa0\x80"]) == (["\\xFF", "\\xC0\\x80", "\\xED\\xA0\\x80"], {})


@pytest.mark.parametrize("text", HOSTILE)
def test_no_replacement_character_is_invented(byte_tokenizer: Any, sp_tokenizer: Any, text: str) -> None:
    for tokenizer in (byte_tokenizer, sp_tokenizer):
        strings, split = readable(bytes_of(tokenizer, text))
        assert "".join(strings).count("\ufffd") == text.count("\ufffd") - sum(
            char == "\ufffd" and part == 1 for part, _, char in split.values()
        )
