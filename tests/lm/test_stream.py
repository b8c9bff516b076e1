"""Pieces of text: whole characters, joined to the whole, ended by stop strings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saewidgets.lm.stream import TextStream

quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="<|>\ufffd"), min_size=1, max_size=30)


@pytest.fixture(params=["byte", "sp"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_tokenizer")


def run(tokenizer: Any, ids: list[int], stops: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    pieces: list[str] = []
    stream = TextStream(tokenizer, stops, pieces.append)
    for token in ids:
        if stream.ended:
            break
        stream.feed(token)
    stream.close()
    return pieces, stream


@quick
@given(text=TEXT)
def test_pieces_join_to_the_text_and_never_split_a_character(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces, stream = run(tokenizer, ids)
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(pieces) == stream.text == whole
    assert "\ufffd" not in "".join(pieces) or "\ufffd" in whole
    assert all(piece.encode() for piece in pieces)


@quick
@given(ids=st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_any_tokens_at_all_come_out_as_decoding_gives_them(byte_tokenizer: Any, ids: list[int]) -> None:
    pieces, stream = run(byte_tokenizer, ids)
    assert "".join(pieces) == stream.text == byte_tokenizer.decode(ids, skip_special_tokens=True)


def test_an_emoji_of_four_tokens_comes_when_it_is_whole(byte_tokenizer: Any) -> None:
    ids = byte_tokenizer("🎈", add_special_tokens=False)["input_ids"]
    assert len(ids) > 1
    pieces: list[str] = []
    stream = TextStream(byte_tokenizer, (), pieces.append)
    for token in ids[:-1]:
        stream.feed(token)
        assert pieces == []
    stream.feed(ids[-1])
    assert pieces == ["🎈"]


def test_text_comes_token_by_token(byte_tokenizer: Any) -> None:
    ids = byte_tokenizer("The bridge over the river", add_special_tokens=False)["input_ids"]
    assert len(run(byte_tokenizer, ids)[0]) == len(ids)


@quick
@given(text=TEXT, at=st.integers(0, 28), size=st.integers(1, 4))
def test_the_text_ends_before_the_first_stop_string_to_be_complete(
    tokenizer: Any, text: str, at: int, size: int
) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    stops = tuple(stop for stop in (whole[at : at + size], whole[at + 2 : at + 3], "@@@") if stop)
    pieces, stream = run(tokenizer, ids, stops)
    ends = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop in whole]
    assert stream.text == "".join(pieces) == (whole[: min(ends)[1]] if ends else whole)
    assert stream.ended == bool(ends)


def test_what_might_become_a_stop_string_is_held_back(byte_tokenizer: Any) -> None:
    pieces: list[str] = []
    stream = TextStream(byte_tokenizer, ["ab!"], pieces.append)
    for char in "xaab?":
        stream.feed(byte_tokenizer(char, add_special_tokens=False)["input_ids"][0])
    assert pieces == ["x", "a", "ab?"]
    stream.feed(byte_tokenizer("a", add_special_tokens=False)["input_ids"][0])
    assert "".join(pieces) == "xaab?"
    stream.close()
    assert "".join(pieces) == "xaab?a"


def test_special_tokens_are_not_shown(byte_tokenizer: Any) -> None:
    ids = [0, *byte_tokenizer("a b", add_special_tokens=False)["input_ids"], 1]
    assert run(byte_tokenizer, ids)[1].text == "a b"


@pytest.mark.parametrize("wrong", ["stop", [3], [None]])
def test_stop_strings_of_another_kind(byte_tokenizer: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="stop_strings must be a list of strings"):
        TextStream(byte_tokenizer, wrong)


def test_an_empty_stop_string(byte_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="a stop string is empty"):
        TextStream(byte_tokenizer, ["a", ""])
