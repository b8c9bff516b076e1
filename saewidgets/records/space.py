"""Feature space: a 2-D layout of every feature, and who is truly near whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from saewidgets.records.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

DISTANCES: Mapping[str, str] = {
    "decoder": "Near when their decoder vectors point the same way: both write the same thing into the model. "
    "0 is the same, 1 unrelated, 2 opposite.",
    "encoder": "Near when their encoder vectors point the same way: both look for the same thing in the model. "
    "0 is the same, 1 unrelated, 2 opposite.",
    "logit": "Near when both push the same next words up and down. 0 is the same, 1 unrelated, 2 opposite.",
    "coactivation": "Near when both fire on the same tokens of the corpus (1 minus phi). "
    "0 is always together, 1 unrelated, above 1 they avoid each other.",
}
"""The distances between features, each explained in plain words."""


@dataclass(frozen=True, eq=False)
class NeighborTable:
    """The nearest features of every feature, nearest first.

    Attributes:
        indices: int32 ``[n, k]``, feature numbers; -1 where a feature has fewer neighbours.
        distances: float32 ``[n, k]``, their distance in the high-dimensional space.
        ranks: int32 ``[n, k]`` or None, their place in the true order, 1 = nearest; only where it is not the column.
    """

    indices: np.ndarray
    distances: np.ndarray
    ranks: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, array in (("distances", self.distances), ("ranks", self.ranks)):
            if array is not None and array.shape != self.indices.shape:
                raise ValueError(f"{name} {list(array.shape)} do not match indices {list(self.indices.shape)}")
        if self.indices.ndim != 2:
            raise ValueError(f"indices must be [n, k], got {list(self.indices.shape)}")

    @property
    def frame(self) -> pd.DataFrame:
        """One row a pair: feature, neighbor, rank, distance."""
        import pandas as pd

        row, col = np.nonzero(self.indices >= 0)
        rank = col + 1 if self.ranks is None else self.ranks[row, col]
        pair = {"feature": row, "neighbor": self.indices[row, col], "rank": rank}
        return pd.DataFrame({**pair, "distance": self.distances[row, col]})


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest features of one feature by one distance, nearest first; the feature itself is left out.

    Attributes:
        feature: whose neighbours these are.
        distance: which distance, a key of `DISTANCES`.
        features: int32 ``[k]``, feature numbers.
        distances: float32 ``[k]``, in the unit of ``distance``.
        labels: a string each, "" where none is known.
        density: float32 ``[k]``, share of tokens they fire on, or None.
        ranks: distance name → int32 ``[k]``, their rank by that distance, 1 = nearest.
    """

    feature: int
    distance: str
    features: np.ndarray
    distances: np.ndarray
    labels: tuple[str, ...] = ()
    density: np.ndarray | None = None
    ranks: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a neighbour: feature, distance, similarity (1 - distance), label, density, rank_* where known."""
        import pandas as pd

        columns: dict[str, Any] = {"feature": self.features, "distance": self.distances}
        columns["similarity"] = 1 - self.distances
        columns["label"] = list(self.labels) if self.labels else [""] * len(self)
        columns["density"] = np.full(len(self), np.nan, np.float32) if self.density is None else self.density
        return pd.DataFrame({**columns, **{f"rank_{name}": rank for name, rank in self.ranks.items()}})


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """A 2-D layout of every feature of an SAE, with the truth about its neighbourhoods.

    Row ``i`` of every array is feature ``i``.

    Attributes:
        xy: float32 ``[n, 2]``, where each feature is drawn.
        cluster: int32 ``[n]``, number of its cluster, -1 where it belongs to none.
        cluster_names: one string a cluster, "" where it has no name.
        tables: distance name → `NeighborTable` of the true neighbours; the first is the one the layout shows.
        planar: the nearest in the 2-D layout, with their true distances and ranks by the first distance, or None.
        trust: float32 ``[n]``, trustworthiness of each point's 2-D neighbourhood, 1 = no false neighbour, NaN where
            not measured; or None.
        recall: float32 ``[n]``, share of the true neighbours that are neighbours in 2-D too, NaN where not measured;
            or None.
        trustworthiness: of the whole layout (Venna & Kaski 2001), or None.
        neighbor_recall: mean of ``recall`` over the features measured, or None.
        density: float32 ``[n]``, share of tokens a feature fires on, or None.
        labels: one string a feature, "" where none is known.
        label_scores: float32 ``[n]``, how well a label predicts held-out examples, 0 to 1, NaN where unknown; or None.
        top_tokens: one string a feature, the token it fires on most; or empty.
        parameters: what made the layout, name → value.
    """

    xy: np.ndarray
    cluster: np.ndarray
    cluster_names: tuple[str, ...] = ()
    tables: Mapping[str, NeighborTable] = field(default_factory=dict)
    planar: NeighborTable | None = None
    trust: np.ndarray | None = None
    recall: np.ndarray | None = None
    trustworthiness: float | None = None
    neighbor_recall: float | None = None
    density: np.ndarray | None = None
    labels: tuple[str, ...] = ()
    label_scores: np.ndarray | None = None
    top_tokens: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        n = len(self.xy)
        if self.xy.shape != (n, 2) or not np.isfinite(self.xy).all():
            raise ValueError(f"xy must be finite numbers [n, 2], got {list(self.xy.shape)}")
        for name in ("cluster", "trust", "recall", "density", "labels", "label_scores", "top_tokens"):
            given = getattr(self, name)
            if given is not None and len(given) not in ((n,) if isinstance(given, np.ndarray) else (0, n)):
                raise ValueError(f"{name} must have one entry a feature: {n}, got {len(given)}")
        if n and int(self.cluster.max()) >= len(self.cluster_names):
            raise ValueError(f"cluster {int(self.cluster.max())} has no name: {len(self.cluster_names)} were given")
        for name, table in {**self.tables, "planar": self.planar}.items():
            if table is not None and len(table.indices) != n:
                raise ValueError(f"neighbour table {name!r} must have {n} rows, got {len(table.indices)}")

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a feature: feature, x, y, cluster, cluster_name, label, label_score, density, trust, recall."""
        import pandas as pd

        names = [*self.cluster_names, ""]  # cluster -1 reads the last
        columns: dict[str, Any] = {"feature": np.arange(len(self)), "x": self.xy[:, 0], "y": self.xy[:, 1]}
        columns["cluster"] = self.cluster
        columns["cluster_name"] = [names[number] for number in self.cluster]
        columns["label"] = list(self.labels) if self.labels else [""] * len(self)
        for name, given in (("label_score", self.label_scores), ("density", self.density)):
            columns[name] = self._or_nan(given)
        return pd.DataFrame({**columns, "trust": self._or_nan(self.trust), "recall": self._or_nan(self.recall)})

    def neighbors(self, feature: int, k: int = 10, distance: str = "decoder") -> Neighbors:
        """The nearest features of one feature, from the table kept with the layout.

        Raises:
            ValueError: when there is no table of that distance, or it holds fewer than ``k``.
        """
        if distance not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise ValueError(f"no neighbour table by distance {distance!r} came with this layout (tables: {known})")
        table = self.tables[distance]
        if k > table.indices.shape[1]:
            raise ValueError(f"this layout keeps {table.indices.shape[1]} neighbours a feature, {k} were asked for")
        kept = table.indices[feature, :k] >= 0
        found = table.indices[feature, :k][kept]
        return Neighbors(
            feature=feature,
            distance=distance,
            features=found,
            distances=table.distances[feature, :k][kept],
            labels=tuple(self.labels[i] for i in found) if self.labels else (),
            density=None if self.density is None else self.density[found],
        )

    def _or_nan(self, given: np.ndarray | None) -> np.ndarray:
        return np.full(len(self), np.nan, np.float32) if given is None else given
