"""Binary messages say back what they were told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saewidgets.widgets.shared.buffers import chunks, pack, unpack

TEXT = st.text(st.characters(), max_size=20)
ANY_TEXT = st.one_of(TEXT, st.sampled_from(["</script>", "\x00", "\u202e", "\ud83d", "👨\u200d👩\u200d👧", "\\xF0"]))
ARRAYS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.one_of(
        st.lists(st.integers(0, 2**16 - 1), max_size=9).map(lambda v: np.array(v, "<u2")),
        st.lists(st.integers(0, 2**32 - 1), max_size=9).map(lambda v: np.array(v, "<u4")),
        st.lists(st.integers(0, 255), max_size=9).map(lambda v: np.array(v, "u1")),
        st.lists(st.floats(width=32, allow_nan=False), max_size=9).map(lambda v: np.array(v, "<f4")),
    ),
    max_size=4,
)


@given(st.dictionaries(ANY_TEXT, st.lists(ANY_TEXT, max_size=4), max_size=4), ARRAYS)
def test_round_trip(meta, arrays):
    blob = pack(meta, arrays)
    got_meta, got_arrays = unpack(b"".join(chunks(blob, 7)))
    assert got_meta == meta
    assert list(got_arrays) == list(arrays)
    for name, array in arrays.items():
        assert got_arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(got_arrays[name], array)


@given(ARRAYS)
def test_every_array_starts_where_the_browser_may_view_it(arrays):
    blob = pack({}, arrays)
    start = 4 + int.from_bytes(blob[:4], "little")
    assert start % 8 == 0
    assert len(blob) % 8 == 0


@given(st.binary(max_size=50), st.integers(1, 9))
def test_chunks_join_to_the_whole(blob, size):
    parts = chunks(blob, size)
    assert parts
    assert b"".join(parts) == blob
    assert max(map(len, parts)) <= size


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.float32), np.zeros(2, np.float64), np.zeros(2, bool)])
def test_what_the_browser_cannot_read_is_refused(array):
    with pytest.raises(ValueError, match="must be 1-D of"):
        pack({}, {"a": array})
