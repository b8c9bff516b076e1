"""A bounded pool that activations are drawn from at random: the corpus is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Source(Protocol):
    """Where activations come from, in order, with a place that can be returned to."""

    def read(self) -> Tensor | None:
        """The next ``[n, d_in]``, or None at the end."""
        ...

    def place(self) -> dict[str, Any]:
        """Where reading stands, as JSON."""
        ...

    def go_to(self, place: dict[str, Any]) -> None:
        """Continue reading from a `place`."""
        ...


class ShuffleBuffer:
    """Shuffled batches out of a source: filled to ``size`` rows, refilled and reshuffled whenever half are used.

    The first fill is an eighth of that and each next one twice the last, so that learning starts soon.

    Args:
        source: gives rows in their own order.
        size: rows held; at most one read more.
        batch_size: rows a batch; the last one may be smaller.
        seed: of the shuffling.
        between: called between reads with the share of the fill that is done; whatever it raises leaves the buffer as
            it was.

    Raises:
        ValueError: when ``size`` is below two batches.

    Example:
        >>> batch = ShuffleBuffer(source, size=131_072, batch_size=2048).next()
    """

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        batch_size: int,
        seed: int = 0,
        between: Callable[[float], None] = lambda share: None,
    ) -> None:
        if batch_size < 1 or size < 2 * batch_size:
            raise ValueError(
                f"the shuffle buffer must hold two batches or more, got {size} for batches of {batch_size}"
            )
        self.source, self.size, self.batch_size = source, size, batch_size
        self._between = between
        self._target = max(size // 8, 2 * batch_size)
        self._rng = np.random.default_rng(seed)
        self._pool: Tensor | None = None
        self._order = np.zeros(0, np.int64)
        self._pending: list[Tensor] = []
        self._ended = False

    def next(self) -> Tensor | None:
        """The next batch ``[batch_size, d_in]``, or None when the source has ended and the pool is empty."""
        if not self._ended and len(self._order) < max(self._target // 2, self.batch_size):
            self._refill()
        if not len(self._order) or self._pool is None:
            return None
        taken, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        return self._pool[torch.from_numpy(taken)]

    def rows(self) -> Tensor | None:
        """Rows not yet given out: those shuffled, in the order in which they would be, then those just read."""
        shuffled = [] if self._pool is None else [self._pool[torch.from_numpy(self._order)]]
        parts = shuffled + self._pending
        # Rows out of a checkpoint are on the CPU, those read since are where the model is.
        return torch.cat([part.to(parts[-1].device) for part in parts]) if parts else None

    def place(self) -> dict[str, Any]:
        """What a later `go_to` needs beside `rows`, as JSON."""
        return {
            "source": self.source.place(),
            "random": self._rng.bit_generator.state,
            "shuffled": len(self._order),
            "started": self._pool is not None,
            "ended": self._ended,
            "target": self._target,
        }

    def go_to(self, place: dict[str, Any], rows: Tensor | None) -> None:
        """Continue from a `place`."""
        self.source.go_to(place["source"])
        self._rng.bit_generator.state = place["random"]
        self._ended, self._target = place["ended"], place["target"]
        shuffled = place["shuffled"]
        self._order = np.arange(shuffled)
        self._pool = rows[:shuffled] if rows is not None and place["started"] else None
        self._pending = [rows[shuffled:]] if rows is not None and len(rows) > shuffled else []

    def _refill(self) -> None:
        target = self._target if self._pool is None else min(self.size, 2 * self._target)
        count = len(self._order) + sum(map(len, self._pending))
        while count < target and (read := self.source.read()) is not None:
            self._pending.append(read)  # kept if `between` leaves: nothing is read twice, nothing is lost
            count += len(read)
            self._between(min(1.0, count / target))
        self._ended, self._target = count < target, target
        merged = self.rows()
        self._pending = []
        if merged is not None:
            self._pool, self._order = merged, self._rng.permutation(len(merged))
