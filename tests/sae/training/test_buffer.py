"""The shuffle buffer: nothing lost, nothing twice, nothing held that need not be, and the same again from anywhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from saewidgets.sae.training.buffer import ShuffleBuffer


class Numbered:
    """Rows that hold their own number, in reads of given sizes."""

    def __init__(self, reads: list[int]) -> None:
        self.reads, self.at = reads, 0

    def read(self) -> Tensor | None:
        if self.at == len(self.reads):
            return None
        start = sum(self.reads[: self.at])
        self.at += 1
        return torch.arange(start, start + self.reads[self.at - 1], dtype=torch.float32).reshape(-1, 1).repeat(1, 2)

    def place(self) -> dict[str, Any]:
        return {"at": self.at}

    def go_to(self, place: dict[str, Any]) -> None:
        self.at = place["at"]


class Left(Exception):
    """What `between` raises here."""


def new(reads: list[int], size: int, batch_size: int, seed: int = 0, **options: Any) -> ShuffleBuffer:
    return ShuffleBuffer(Numbered(reads), size=size, batch_size=batch_size, seed=seed, **options)


def numbers(batch: Tensor) -> list[int]:
    assert batch.shape[1] == 2 and torch.equal(batch[:, 0], batch[:, 1])  # rows stay rows
    return [int(row) for row in batch[:, 0]]


def drain(buffer: ShuffleBuffer) -> list[list[int]]:
    found = []
    while (batch := buffer.next()) is not None:
        found.append(numbers(batch))
    return found


@st.composite
def sizes(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Reads (some of them empty), buffer size, batch size; the source may be smaller than anything."""
    batch_size = draw(st.integers(1, 6))
    return (
        draw(st.lists(st.integers(0, 15), max_size=12)),
        draw(st.integers(2 * batch_size, 50)),
        batch_size,
    )


@settings(max_examples=150, deadline=None)
@given(sizes(), st.integers(0, 3))
def test_every_row_comes_out_exactly_once(given_: tuple[list[int], int, int], seed: int) -> None:
    reads, size, batch_size = given_
    buffer = new(reads, size, batch_size, seed)
    batches = drain(buffer)
    assert Counter(number for batch in batches for number in batch) == Counter(range(sum(reads)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert not batches or 0 < len(batches[-1]) <= batch_size
    assert buffer.next() is None
    assert batches == drain(new(reads, size, batch_size, seed))


def test_the_order_is_another_and_the_seeds_own() -> None:
    reads = [32] * 8
    found = [[n for batch in drain(new(reads, 64, 8, seed)) for n in batch] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0] != sorted(found[0])
    place = {number: at for at, number in enumerate(found[0])}
    moved = [abs(place[n] - n) for n in range(len(found[0]))]
    assert sum(moved) / len(moved) > 8  # about a quarter of the buffer; half of it is new at each refill


@settings(max_examples=60, deadline=None)
@given(sizes())
def test_never_more_rows_than_the_size_and_one_read(given_: tuple[list[int], int, int]) -> None:
    reads, size, batch_size = given_
    held: list[int] = []

    def look(share: float) -> None:
        shuffled = buffer.rows()
        held.append(len(shuffled) if shuffled is not None else 0)
        assert 0 <= share <= 1

    buffer = new(reads, size, batch_size, between=look)
    while buffer.next() is not None:
        assert buffer._pool is not None
        held.append(len(buffer._pool))
    assert max(held, default=0) <= size + max(reads, default=0)


def test_the_first_fill_is_an_eighth_and_each_next_one_twice_the_last() -> None:
    read_after: list[int] = []
    buffer = new([10] * 200, 640, 20)
    before = 0
    for _ in range(60):
        buffer.next()
        at = buffer.source.at  # type: ignore[attr-defined]
        if at != before:
            rows = buffer.rows()
            assert rows is not None
            read_after.append(len(rows) + 20)
            before = at
    assert read_after[:4] == [80, 160, 320, 640]
    assert set(read_after[3:]) == {640}


def through_json(place: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(place))


def resumed(buffer: ShuffleBuffer, reads: list[int], size: int, batch_size: int) -> ShuffleBuffer:
    """Another buffer, with another seed, set to where ``buffer`` stands."""
    rows = buffer.rows()
    other = new(reads, size, batch_size, seed=99)
    other.go_to(through_json(buffer.place()), None if rows is None else rows.clone())
    return other


@settings(max_examples=80, deadline=None)
@given(sizes(), st.integers(0, 12))
def test_it_continues_from_any_batch(given_: tuple[list[int], int, int], after: int) -> None:
    reads, size, batch_size = given_
    buffer = new(reads, size, batch_size)
    for _ in range(after):
        buffer.next()
    other = resumed(buffer, reads, size, batch_size)
    assert drain(other) == drain(buffer)


def leave_at(call: int) -> Callable[[float], None]:
    calls = 0

    def between(share: float) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Left

    return between


@settings(max_examples=120, deadline=None)
@given(sizes(), st.integers(1, 12))
def test_it_continues_from_the_middle_of_a_fill(given_: tuple[list[int], int, int], call: int) -> None:
    """Interrupted, it goes on as if nothing had been; and so does another one, set to that place."""
    reads, size, batch_size = given_
    expected = drain(new(reads, size, batch_size))
    buffer = new(reads, size, batch_size, between=leave_at(call))
    found: list[list[int]] = []
    interrupted = False
    while True:
        try:
            batch = buffer.next()
        except Left:
            interrupted = True
            other = resumed(buffer, reads, size, batch_size)
            assert found + drain(other) == expected
            continue
        if batch is None:
            break
        found.append(numbers(batch))
    assert found == expected
    assert interrupted or call > len(reads)


def test_what_the_source_raises_loses_nothing() -> None:
    class Stumbles(Numbered):
        stumbled = False

        def read(self) -> Tensor | None:
            if self.at == 3 and not self.stumbled:
                self.stumbled = True
                raise OSError("the disk is away")
            return super().read()

    reads = [10] * 8
    buffer = ShuffleBuffer(Stumbles(reads), size=64, batch_size=32)
    with pytest.raises(OSError, match="the disk is away"):
        buffer.next()
    assert drain(buffer) == drain(new(reads, 64, 32))


def test_an_empty_source() -> None:
    buffer = new([], 8, 2)
    assert buffer.next() is None and buffer.rows() is None
    assert drain(resumed(buffer, [], 8, 2)) == []


def test_rows_keep_their_dtype() -> None:
    class Half(Numbered):
        def read(self) -> Tensor | None:
            x = super().read()
            return None if x is None else x.bfloat16()

    batch = ShuffleBuffer(Half([9, 9]), size=16, batch_size=4).next()
    assert batch is not None and batch.dtype == torch.bfloat16


@pytest.mark.parametrize(("size", "batch_size"), [(7, 4), (0, 0), (10, 0), (10, -1)])
def test_impossible_sizes(size: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match="must hold two batches or more"):
        new([1], size, batch_size)
