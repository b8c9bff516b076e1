"""All neighbours of all features on a CPU with half the products: likeness is the same in both directions."""

from __future__ import annotations

import numpy as np
import torch

from saewidgets.geometry.select import best
from saewidgets.geometry.steps import Step

STRIP, TILE = 1024, 2048
DENSE = 16  # where more than one pair in so many may be among the nearest, all are looked at


def nearest_of_all(units: np.ndarray, present: np.ndarray, k: int, step: Step) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` largest cosines of every row with another, float32 ``[n, k]``, and whose they are, int64 ``[n, k]``.

    Exact. Strip by strip, each pair's product is computed once and offered to both its rows; a row takes only what is
    above the least it has, so that little is ever sorted. Ties go to the lower number, because numbers are offered in
    order. −inf where there are fewer than ``k`` others.

    Args:
        units: float32 ``[n, d]``, rows of length 1.
        present: bool ``[n]``, rows that count.
        k: how many.
        step: told how far the work is.
    """
    n, lists = len(units), _Lists(len(units), k)
    for top in range(0, n, STRIP):
        rows = slice(top, min(n, top + STRIP))
        for left in range(top, n, TILE):
            step("neighbours", 1 - ((n - top) / n) ** 2 + (left - top) * min(STRIP, n - top) / n**2)
            columns = slice(left, min(n, left + TILE))
            tile = units[rows] @ units[columns].T
            np.clip(tile, -1, 1, out=tile)
            tile[~present[rows]] = -np.inf
            tile[:, ~present[columns]] = -np.inf
            if left < rows.stop:
                own = np.arange(max(left, top), min(columns.stop, rows.stop))
                tile[own - top, own - left] = -np.inf  # itself does not count
            lists.offer(tile, rows.start, columns.start)
            beyond = max(0, rows.stop - left)  # columns that are rows of this strip have been offered
            lists.offer(tile[:, beyond:].T, columns.start + beyond, rows.start)
    return lists.values, lists.indices


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
