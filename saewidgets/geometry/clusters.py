"""Groups of features, and what to call them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

MIN_CLUSTER_SIZE = 3
WORD = re.compile(r"[^\W\d_][\w'’-]+")


def clusters(points: np.ndarray, min_cluster_size: int = MIN_CLUSTER_SIZE) -> np.ndarray:
    """HDBSCAN (Campello, Moulavi and Sander 2013) of points ``[n, d]``: int32 ``[n]``, −1 where a point is in none.

    Clusters are numbered by size, the largest 0, ties by their first member. The parameters of Bricken et al. 2023,
    *Towards Monosemanticity*, are 3 and points of a 10-D UMAP.
    """
    from sklearn.cluster import HDBSCAN

    if len(points) < 2 * min_cluster_size:
        return np.full(len(points), -1, np.int32)
    found = HDBSCAN(min_cluster_size=min_cluster_size, copy=True).fit(points.astype(np.float64)).labels_  # pyright: ignore[reportArgumentType]
    return by_size(found)


def by_size(labels: np.ndarray) -> np.ndarray:
    """The same clusters numbered by size, the largest 0, ties by first member; −1 stays."""
    numbers, first, counts = np.unique(labels, return_index=True, return_counts=True)
    real = numbers >= 0
    order = np.lexsort((first[real], -counts[real]))
    new = np.full(int(labels.max()) + 2, -1, np.int32)  # −1 reads the last
    new[numbers[real][order]] = np.arange(len(order))
    return new[labels]


def names(cluster: np.ndarray, labels: Sequence[str], words: int = 3) -> tuple[str, ...]:
    """A name a cluster: the words its members' labels share and others' do not; "" where no label has a word.

    A word's score is the share of members that have it times log(clusters / clusters that have it), as in c-TF-IDF
    (Grootendorst 2022); a word counts once a member. One that only a single member has names no group of four or more.
    """
    said: list[Counter[str]] = [Counter() for _ in range(int(cluster.max(initial=-1)) + 1)]
    size = Counter(cluster.tolist())
    for number, label in zip(cluster.tolist(), labels, strict=True):
        if number >= 0:
            said[number].update({word.lower() for word in WORD.findall(label)})
    spread = Counter(word for counts in said for word in counts)
    return tuple(_name(counts, size[number], spread, len(said), words) for number, counts in enumerate(said))


def _name(counts: Counter[str], size: int, spread: Counter[str], total: int, words: int) -> str:
    least = 2 if size > MIN_CLUSTER_SIZE and max(counts.values(), default=0) > 1 else 1
    score = {w: n * math.log((1 + total) / spread[w]) for w, n in counts.items() if n >= least}
    best = sorted(score, key=lambda word: (-score[word], word))[:words]
    return ", ".join(best)
