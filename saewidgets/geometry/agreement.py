"""Where two measures of likeness agree, and whether they agree more than chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.stats
import torch

from saewidgets.geometry.similarity import Similarity
from saewidgets.geometry.steps import Step, silent
from saewidgets.records import NeighborTable

SAMPLE = 1_000


class Agreement(NamedTuple):
    """What `agreement` finds."""

    spearman: float
    """Rank correlation of the two similarities over pairs of features."""
    null: np.ndarray
    """float64 ``[permutations]``: the same with the features of one side shuffled."""
    p: float
    """(1 + shuffles at least as high) / (1 + shuffles)."""
    n_features: int
    """Features whose pairs were compared."""


def overlap(one: NeighborTable, other: NeighborTable, k: int) -> np.ndarray:
    """Share of the ``k`` nearest two tables have in common: float32 ``[n]``, NaN where one has fewer than ``k``."""
    mine, theirs = one.indices[:, :k], other.indices[:, :k]
    shared = (mine[:, :, None] == theirs[:, None, :]).any(2).mean(1).astype(np.float32)
    whole = (mine >= 0).all(1) & (theirs >= 0).all(1)
    return np.where(whole, shared, np.float32(np.nan))


@torch.inference_mode()
def agreement(
    one: Similarity, other: Similarity, *, permutations: int = 200, seed: int = 0, step: Step = silent
) -> Agreement:
    """Spearman's correlation of two similarities over pairs of features, against a permutation null (Mantel 1967).

    Pairs share features, so they are not independent: the null shuffles features, not pairs. All pairs of at most
    1 000 features, a seeded sample of those both measures know.

    Raises:
        ValueError: when fewer than 8 features are known to both.
    """
    known = torch.nonzero(one.present & other.present)[:, 0].numpy()
    if len(known) < 8:
        raise ValueError(f"only {len(known)} features have both measures: too few to correlate")
    random = np.random.default_rng(seed)
    if len(known) > SAMPLE:
        known = np.sort(random.choice(known, SAMPLE, replace=False))
    at = torch.from_numpy(known)
    above = np.triu_indices(len(known), 1)
    x = _ranked(one.of(at)[:, at].cpu().numpy()[above])
    square = np.zeros((len(known), len(known)))
    square[above] = _ranked(other.of(at)[:, at].cpu().numpy()[above])
    square += square.T
    null = np.empty(permutations)
    for turn in range(permutations):
        step("permutations", turn / permutations)
        order = random.permutation(len(known))
        null[turn] = x @ square[order[above[0]], order[above[1]]]
    found = float(x @ square[above])
    return Agreement(found, null, float((1 + (null >= found).sum()) / (1 + permutations)), len(known))


def _ranked(values: np.ndarray) -> np.ndarray:
    """Ranks, ties sharing theirs, with mean 0 and length 1."""
    ranks = scipy.stats.rankdata(values)
    ranks -= ranks.mean()
    length = np.linalg.norm(ranks)
    return ranks / length if length else ranks
