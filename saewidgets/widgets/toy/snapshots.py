"""What a toy's panel remembers of a training, and how it is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saewidgets.records import RECOVERED, ToyState

MOST, FEWEST, BUDGET = 58, 12, 6_000_000
POINTS = 3_000


class Snapshot(NamedTuple):
    """One moment: cosines in steps of 1/127, the rest exact."""

    number: int
    tokens: int
    cosine: np.ndarray
    matched: np.ndarray
    best: np.ndarray
    decoder: np.ndarray


class Recorder:
    """Keeps at most 60 snapshots of a run, fewer of large ones; they lie closer where most happens, at the start.

    Args:
        total_tokens: where the run is to end.
    """

    def __init__(self, total_tokens: int) -> None:
        self.kept: list[Snapshot] = []
        self._total = max(1, total_tokens)
        self._slot = -1
        self._number = 0

    def add(self, state: ToyState, tokens: int, *, last: bool = False) -> Snapshot:
        """A snapshot of ``state``; it is kept when it opens a new stretch of the run or is the last."""
        check_shapes(state)
        self._number += 1
        flat = np.nan_to_num(state.cosine.astype(np.float32)).ravel()
        snapshot = Snapshot(
            self._number,
            tokens,
            np.clip(np.rint(flat * 127), -127, 127).astype("i1"),
            state.matched.astype("<f4"),
            state.cosine.argmax(axis=1).astype("<u4"),
            (state.decoder if state.decoder.shape[1] == 2 else np.zeros(0)).astype("<f4").ravel(),
        )
        most = min(MOST, max(FEWEST, BUDGET // max(1, len(flat))))
        slot = math.floor(most * math.sqrt(min(1.0, tokens / self._total)))
        if last or slot > self._slot:
            self._slot = slot
            self.kept.append(snapshot)
        return snapshot


def check_shapes(state: ToyState) -> None:
    """Refuse a state whose parts do not belong together.

    Raises:
        ValueError: naming what was expected.
    """
    n, d_sae = len(state.true_directions), len(state.decoder)
    if state.cosine.shape != (n, d_sae):
        raise ValueError(f"cosine must be [{n}, {d_sae}], one row a planted direction, got {list(state.cosine.shape)}")
    for name in ("matched", "frequency"):
        if getattr(state, name).shape != (n,):
            raise ValueError(f"{name} must have one number for each of {n} planted directions")


def scene(state: ToyState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What stays the same all through a run; rows are drawn from the most frequent direction to the rarest."""
    n, d_in = state.true_directions.shape
    meta = {"n": n, "d_in": d_in, "d_sae": len(state.decoder), "recovered": RECOVERED}
    arrays = {
        "order": np.argsort(-state.frequency, kind="stable").astype("<u4"),
        "frequency": state.frequency.astype("<f4"),
    }
    if d_in == 2:
        arrays["planted"] = state.true_directions.astype("<f4").ravel()
        points = np.zeros((0, 2)) if state.points is None else state.points[:POINTS]
        arrays["points"] = points.astype("<f4").ravel()
    return meta, arrays


def frame_arrays(snapshots: Sequence[Snapshot]) -> dict[str, np.ndarray]:
    """Snapshots one after another; a count of tokens comes as its low and high word."""
    arrays = {
        "frame_number": np.array([s.number for s in snapshots], "<u4"),
        "frame_tokens": np.array([s.tokens for s in snapshots], "<u8").view("<u4"),
    }
    for name in ("cosine", "matched", "best", "decoder"):
        arrays[name] = np.concatenate([getattr(s, name) for s in snapshots])
    return arrays
