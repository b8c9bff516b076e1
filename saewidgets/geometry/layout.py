"""Where features are drawn: UMAP on exact neighbours, from a fixed start, the same picture every time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from saewidgets.geometry.graph import fuzzy_graph
from saewidgets.geometry.steps import Step, silent
from saewidgets.records import NeighborTable

EPOCHS_SMALL, EPOCHS_LARGE, LARGE = 500, 200, 10_000  # as umap-learn chooses them


def layout(
    table: NeighborTable,
    start: np.ndarray,
    *,
    min_dist: float = 0.05,
    seed: int = 0,
    stage: str = "layout",
    step: Step = silent,
) -> np.ndarray:
    """UMAP (McInnes, Healy and Melville 2018) of a neighbour graph: float32 ``[n, n_components]``.

    The same table, start and seed give the same bits on one machine. A feature without neighbours is drawn below the
    others, in a row.

    Args:
        table: the exact nearest of every feature by a distance from 0 to 2; with itself they are the ``n_neighbors``.
        start: ``[n, n_components]``, where the points begin; see `principal`.
        min_dist: how tightly points may be packed.
        seed: of the sampling of edges.
        stage: what ``step`` is told.
        step: told how far the work is.

    Raises:
        ValueError: when fewer than three features have neighbours.
    """
    placed = np.flatnonzero((table.indices >= 0).all(1))
    if len(placed) < 3:
        raise ValueError(f"a layout needs at least 3 features with {table.indices.shape[1]} neighbours each")
    number = np.full(len(table.indices), -1, np.int64)
    number[placed] = np.arange(len(placed))
    near, far = number[table.indices[placed]], table.distances[placed].clip(0)
    step(stage, 0.0)
    found = _embed(near, far, start[placed].astype(np.float32), min_dist, seed, _epochs(len(placed), step, stage))
    step(stage, 1.0)
    out = np.zeros((len(number), start.shape[1]), np.float32)
    out[placed] = found
    rest = np.flatnonzero(number < 0)
    low, high = found.min(0), found.max(0)
    out[rest] = low
    out[rest, 0] = np.linspace(low[0], high[0], len(rest))
    out[rest, 1] = low[1] - 0.05 * (high[1] - low[1])
    return out


@torch.inference_mode()
def principal(units: Tensor, n_components: int) -> np.ndarray:
    """The first principal components of rows ``[n, d]``, signs fixed: float32 ``[n, n_components]``.

    Raises:
        ValueError: when there are fewer dimensions than components.
    """
    if units.shape[1] < n_components:
        raise ValueError(f"{n_components} components need as many dimensions, the vectors have {units.shape[1]}")
    x = units.detach().cpu().float()
    x = x - x.mean(0)
    basis = torch.linalg.eigh((x.T @ x).double())[1].flip(1)[:, :n_components]
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    return (x @ (basis * largest.sign()).float()).numpy()


def _embed(
    near: np.ndarray, far: np.ndarray, start: np.ndarray, min_dist: float, seed: int, epochs: _Epochs
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba's compiler and of tqdm where a notebook lacks its bars
        from umap.umap_ import find_ab_params, simplicial_set_embedding

    graph = scipy.sparse.coo_matrix(fuzzy_graph(near, far))
    random = np.random.RandomState(seed)
    a, b = find_ab_params(1.0, min_dist)
    options: dict[str, Any] = {"densmap": False, "densmap_kwds": {}, "output_dens": False}
    return simplicial_set_embedding(
        start,
        graph,
        start.shape[1],
        1.0,  # initial learning rate
        a,
        b,
        1.0,  # weight of negative samples
        5,  # negative samples an edge
        epochs,
        start,
        random,
        "euclidean",
        {},
        parallel=False,  # in parallel it is not deterministic
        tqdm_kwds={"disable": True},
        **options,
    )[0]


class _Epochs(int):
    """A number of epochs that tells ``step`` each time it is asked for its float, as umap does once an epoch.

    To lower the learning rate, that is: umap has no other place where a caller is heard between epochs (its progress
    bar writes nowhere in a notebook). ``step`` may raise, which ends the work.
    """

    step: Step
    stage: str
    asked = 0

    def __float__(self) -> float:
        self.asked += 1
        self.step(self.stage, min(1.0, self.asked / int(self)))
        return float(int(self))


def _epochs(n: int, step: Step, stage: str) -> _Epochs:
    epochs = _Epochs(EPOCHS_SMALL if n <= LARGE else EPOCHS_LARGE)
    epochs.step, epochs.stage = step, stage
    return epochs
