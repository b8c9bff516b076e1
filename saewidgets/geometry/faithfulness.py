"""How far a 2-D layout can be trusted: who is drawn near without being near, and who is near without being drawn so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.spatial
import torch
from torch import Tensor

from saewidgets.geometry.neighbors import CHUNK, others
from saewidgets.geometry.similarity import Similarity
from saewidgets.geometry.steps import Step, silent
from saewidgets.records import NeighborTable

LARGE, SAMPLE = 20_000, 2_000
"""Above ``LARGE`` features the measurement is made on a seeded sample of ``SAMPLE``: it compares every pair."""


class Faithfulness(NamedTuple):
    """What `faithfulness` finds."""

    planar: NeighborTable
    """The nearest in the plane, with true distances; ranks are true ones, 0 where not measured."""
    trust: np.ndarray
    """float32 ``[n]``, NaN where not measured."""
    recall: np.ndarray
    """float32 ``[n]``, NaN for features without neighbours."""
    trustworthiness: float
    """Mean of ``trust`` over the features measured."""
    neighbor_recall: float
    """Mean of ``recall``."""


def faithfulness(
    similarity: Similarity, table: NeighborTable, xy: np.ndarray, k: int = 15, seed: int = 0, step: Step = silent
) -> Faithfulness:
    """Trustworthiness and neighbour recall of a layout, whole and per point.

    Trustworthiness of a point (Venna and Kaski 2001): 1 − 2 / (k(2n − 3k − 1)) · Σ (r − k), over the k nearest in the
    plane that are not among the true k nearest, r being their true rank; the mean over points is the layout's. Recall:
    the share of the true k nearest that are among the k nearest in the plane. Features without neighbours are left out.

    Args:
        similarity: the truth.
        table: its `nearest`, at least ``k`` wide.
        xy: ``[n, 2]``.
        k: how many neighbours are looked at.
        seed: of the sample where there are more than 20 000 features: trust and ranks are then of 2 000 of them.
        step: told how far the work is.

    Raises:
        ValueError: when the table is narrower than ``k``, or ``k`` is not below half of the features.
    """
    if k > table.indices.shape[1]:
        raise ValueError(f"the neighbour table has {table.indices.shape[1]} columns, {k} are needed")
    placed = np.flatnonzero(table.indices[:, 0] >= 0)
    if 2 * k >= len(placed):
        raise ValueError(f"k must be below half of the {len(placed)} features with a direction, got {k}")
    plane = np.full((len(xy), k), -1, np.int32)
    plane[placed] = placed[_plane_nearest(xy[placed], k)]
    true = (plane[:, :, None] == table.indices[:, None, :k]).any(2) & (plane >= 0)
    recall = np.full(len(xy), np.nan, np.float32)
    recall[placed] = true[placed].mean(1)
    measured = placed
    if len(placed) > LARGE:
        measured = np.sort(np.random.default_rng(seed).choice(placed, SAMPLE, replace=False))
    ranks, distances = _true_ranks(similarity, table, plane, measured, step)
    if len(measured) < len(placed):
        _pair_distances(similarity, plane, distances, np.setdiff1d(placed, measured), step)
    excess = np.where(ranks > k, ranks - k, 0).sum(1)
    trust = np.full(len(xy), np.nan, np.float32)
    trust[measured] = 1 - 2 / (k * (2 * len(placed) - 3 * k - 1)) * excess[measured]
    return Faithfulness(
        NeighborTable(plane, distances, ranks),
        trust,
        recall,
        float(trust[measured].astype(np.float64).mean()),
        float(recall[placed].astype(np.float64).mean()),
    )


def _plane_nearest(xy: np.ndarray, k: int) -> np.ndarray:
    """The ``k`` nearest points of every point ``[n, 2]``, itself left out: int64 ``[n, k]``."""
    found = scipy.spatial.KDTree(xy).query(xy, k + 1)[1]
    own = found == np.arange(len(xy))[:, None]
    own[~own.any(1), -1] = True  # among many points on one spot it may be missing: the last goes instead
    return found[~own].reshape(len(xy), k)  # pyright: ignore[reportIndexIssue]


@torch.inference_mode()
def _true_ranks(
    similarity: Similarity, table: NeighborTable, plane: np.ndarray, measured: np.ndarray, step: Step
) -> tuple[np.ndarray, np.ndarray]:
    """Rank and distance in the full space of the neighbours in the plane; only those not in the table are counted."""
    ranks, distances = _known_ranks(table, plane), np.full(plane.shape, np.nan, np.float32)
    rows = max(1, CHUNK // similarity.n)
    for start in range(0, len(measured), rows):
        step("faithfulness", start / len(measured))
        at = measured[start : start + rows]
        found = others(similarity, torch.from_numpy(at)).cpu()
        near = torch.from_numpy(plane[at].astype(np.int64))
        values = found.gather(1, near)
        distances[at] = 1 - values.numpy()
        row, col = np.nonzero(ranks[at] == 0)
        ranks[at[row], col] = _places(found, torch.from_numpy(row), near[row, col], values[row, col])
    step("faithfulness", 1.0)
    return ranks, distances


def _places(found: Tensor, row: Tensor, feature: Tensor, value: Tensor) -> np.ndarray:
    """1 + how many of a row of similarities come before one of them: larger, or equal with a lower number."""
    place = torch.empty(len(row), dtype=torch.int32)
    number = torch.arange(found.shape[1])
    for part in torch.arange(len(row)).split(max(1, CHUNK // found.shape[1])):
        line, bar = found[row[part]], value[part, None]
        place[part] = 1 + ((line > bar) | ((line == bar) & (number < feature[part, None]))).sum(1, dtype=torch.int32)
    return place.numpy()


def _known_ranks(table: NeighborTable, plane: np.ndarray) -> np.ndarray:
    """Their column in the table of true neighbours, from 1; 0 where they are not in it."""
    ranks = np.zeros(plane.shape, np.int32)
    for column in range(table.indices.shape[1]):
        ranks[(plane == table.indices[:, column, None]) & (plane >= 0)] = column + 1
    return ranks


@torch.inference_mode()
def _pair_distances(
    similarity: Similarity, plane: np.ndarray, distances: np.ndarray, features: np.ndarray, step: Step
) -> None:
    """Fill in the distances of features outside the sample, pair by pair."""
    for start in range(0, len(features), 4096):
        step("faithfulness", start / len(features))
        at = features[start : start + 4096]
        distances[at] = 1 - similarity.pairs(torch.from_numpy(at), torch.from_numpy(plane[at].astype(np.int64))).numpy()
