"""All neighbours of all features on a CPU with half the products: likeness is the same in both directions."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from saewidgets.geometry.select import best
from saewidgets.geometry.steps import Step

STRIP, TILE = 1024, 2048
DENSE = 16  # where more than one pair in so many may be among the nearest, all are looked at
AHEAD = 2  # tiles made before they are wanted, besides those in work


def nearest_of_all(units: np.ndarray, present: np.ndarray, k: int, step: Step) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` largest cosines of every row with another, float32 ``[n, k]``, and whose they are, int64 ``[n, k]``.

    Exact. Each pair's product is computed once and offered to both its rows; a row takes only what is above the least
    it has, so that little is ever sorted. Ties go to the lower number, because numbers are offered in order, whatever
    the number of threads. −inf where there are fewer than ``k`` others.

    Args:
        units: float32 ``[n, d]``, rows of length 1.
        present: bool ``[n]``, rows that count.
        k: how many.
        step: told how far the work is.
    """
    n, lists = len(units), _Lists(len(units), k)
    with closing(_tiles(units, present)) as tiles:  # also where ``step`` ends the work
        for rows, columns, tile in tiles:
            left, height = columns.start, rows.stop - rows.start
            step("neighbours", 1 - ((n - rows.start) / n) ** 2 + (left - rows.start) * height / n**2)
            lists.offer(tile, rows.start, left)
            beyond = max(0, rows.stop - left)  # columns that are rows of this strip have been offered
            lists.offer(tile[:, beyond:].T, left + beyond, rows.start)
    return lists.values, lists.indices


def _tiles(units: np.ndarray, present: np.ndarray) -> Generator[tuple[slice, slice, np.ndarray], None, None]:
    """The upper half of all cosines, strip by strip in order, each tile made by one thread while others are used.

    A product on all cores leaves them idle while what it found is sorted; one core a product leaves none.
    """
    n, threads = len(units), torch.get_num_threads()
    places = deque(
        (slice(top, min(n, top + STRIP)), slice(left, min(n, left + TILE)))
        for top in range(0, n, STRIP)
        for left in range(top, n, TILE)
    )
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads, "saewidgets-neighbours") as pool:
        made: deque[tuple[slice, slice, Future[np.ndarray]]] = deque()
        try:
            while places or made:
                while places and len(made) < threads + AHEAD:
                    place = places.popleft()
                    made.append((*place, pool.submit(_tile, units, present, *place)))
                rows, columns, tile = made.popleft()
                yield rows, columns, tile.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _tile(units: np.ndarray, present: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """Cosines ``[rows, columns]``; −inf where one of the two does not count, or is the other."""
    tile = units[rows] @ units[columns].T
    np.clip(tile, -1, 1, out=tile)
    tile[~present[rows]] = -np.inf
    tile[:, ~present[columns]] = -np.inf
    if columns.start < rows.stop:
        own = np.arange(max(columns.start, rows.start), min(columns.stop, rows.stop))
        tile[own - rows.start, own - columns.start] = -np.inf
    return tile


class _Lists:
    """The ``k`` best of every row so far, most alike first."""

    def __init__(self, n: int, k: int) -> None:
        self.values = np.full((n, k), -np.inf, np.float32)
        self.indices = np.full((n, k), -1, np.int64)
        self.k = k

    def offer(self, tile: np.ndarray, first: int, others: int) -> None:
        """Likeness ``[m, w]`` of the rows ``first``, ``first + 1``, … to ``others``, ``others + 1``, …"""
        if not tile.size:
            return
        rows = slice(first, first + len(tile))
        better = tile > self.values[rows, -1:]
        if np.count_nonzero(better) * DENSE > tile.size:
            values, at = best(torch.from_numpy(np.ascontiguousarray(tile)), min(self.k, tile.shape[1]))
            self._take(np.arange(rows.start, rows.stop), values.numpy(), at.numpy() + others)
        else:
            self._take_some(tile, better, first, others)

    def _take_some(self, tile: np.ndarray, better: np.ndarray, first: int, others: int) -> None:
        row, column = _where(better)
        if not len(row):
            return
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        counts = np.diff(starts, append=len(row))
        line = np.repeat(np.arange(len(starts)), counts)
        place = np.arange(len(row)) - np.repeat(starts, counts)
        values = np.full((len(starts), counts.max()), -np.inf, np.float32)
        indices = np.full(values.shape, -1, np.int64)
        values[line, place] = tile[row, column]
        indices[line, place] = column + others
        self._take(row[starts] + first, values, indices)

    def _take(self, rows: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
        """What is offered stands behind what is there: among equals the earlier, lower number stays ahead."""
        values = np.concatenate([self.values[rows], values], axis=1)
        indices = np.concatenate([self.indices[rows], indices], axis=1)
        kept, at = best(torch.from_numpy(values), self.k)
        self.values[rows] = kept.numpy()
        self.indices[rows] = np.take_along_axis(indices, at.numpy(), axis=1)


def _where(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the set places, row by row, for a mask in either memory order."""
    if mask.flags.c_contiguous:
        return np.divmod(np.flatnonzero(mask), mask.shape[1])
    column, row = np.divmod(np.flatnonzero(mask.T), len(mask))
    order = np.argsort(row, kind="stable")
    return row[order], column[order]
