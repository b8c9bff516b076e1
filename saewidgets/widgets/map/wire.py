"""What a map's browser side receives: all points at once, neighbours a feature at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from saewidgets.records import DISTANCES, FeatureSpace, Neighbors, NeighborTable
from saewidgets.widgets.shared.buffers import pack

NEAR = 20
"""A point beside a feature on the map is flagged when it is not among this many true neighbours."""
FARTHEST = 2.0
STEP = 65535 / FARTHEST


class Abilities(NamedTuple):
    """What a view may ask its kernel for."""

    light: bool
    search: bool
    distances: tuple[str, ...]
    max_k: int


class Lit(NamedTuple):
    """Features firing on a sentence."""

    text: str
    features: np.ndarray
    values: np.ndarray


def pack_space(space: FeatureSpace, can: Abilities, *, tables: bool = False, lit: Lit | None = None) -> bytes:
    """Every point with what colours and names it.

    Args:
        space: what to send.
        can: what a view may ask for.
        tables: add the neighbour tables, for a page that has no kernel to ask.
        lit: features that light up at once.
    """
    arrays = {
        "x": np.ascontiguousarray(space.xy[:, 0], dtype="<f4"),
        "y": np.ascontiguousarray(space.xy[:, 1], dtype="<f4"),
        "cluster": space.cluster.astype("<i4"),
    }
    for name, given in (("density", space.density), ("label_score", space.label_scores), ("trust", space.trust)):
        if given is not None and np.isfinite(given).any():
            arrays[name] = np.asarray(given, dtype="<f4")
    if tables:
        arrays |= table_arrays(space)
    if lit is not None:
        arrays |= {"lit_features": lit.features.astype("<u4"), "lit_values": lit.values.astype("<f4")}
    meta = {
        "cluster_names": list(space.cluster_names),
        "labels": list(space.labels),
        "top_tokens": list(space.top_tokens),
        "trustworthiness": finite(space.trustworthiness),
        "neighbor_recall": finite(space.neighbor_recall),
        "distances": list(can.distances),
        "about": {name: DISTANCES[name] for name in can.distances if name in DISTANCES},
        "max_k": can.max_k,
        "near": near_of(space),
        "can_light": can.light,
        "can_search": can.search,
        "tables": list(space.tables) if tables else [],
        "source": str(space.provenance),
        "text": lit.text if lit is not None else "",
    }
    return pack(meta, arrays)


def near_of(space: FeatureSpace) -> int:
    """`NEAR`, or less where fewer true neighbours are known or exist."""
    widths = [table.indices.shape[1] for table in space.tables.values()]
    return max(1, min([NEAR, *widths, max(1, len(space) - 1)]))


def table_arrays(space: FeatureSpace) -> dict[str, np.ndarray]:
    """The neighbour tables cut to `NEAR` columns, distances in steps of 2 / 65535."""
    arrays: dict[str, np.ndarray] = {}
    for place, table in enumerate(space.tables.values()):
        arrays[f"near_{place}"], arrays[f"away_{place}"] = cut_table(table, len(space))
    if space.planar is not None:
        arrays["planar"], arrays["planar_away"] = cut_table(space.planar, len(space))
        if space.planar.ranks is not None:
            arrays["planar_ranks"] = space.planar.ranks[:, :NEAR].astype("<u4").ravel()
    return arrays


def cut_table(table: NeighborTable, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat feature numbers and distance steps; a feature's own number stands where it has no more neighbours."""
    indices, distances = table.indices[:, :NEAR], table.distances[:, :NEAR]
    own = np.broadcast_to(np.arange(n)[:, None], indices.shape)
    dtype = "<u2" if n <= 1 << 16 else "<u4"
    steps = np.nan_to_num(np.clip(distances, 0, FARTHEST) * STEP)
    return np.where(indices < 0, own, indices).astype(dtype).ravel(), np.round(steps).astype("<u2").ravel()


def pack_neighbors(found: Neighbors, k: int, planar: Mapping[str, np.ndarray]) -> bytes:
    """One feature's neighbours, and what is known about the points beside it on the map."""
    ranks = [name for name in found.ranks if name != found.distance]
    arrays = {"features": found.features.astype("<u4"), "distances": found.distances.astype("<f4"), **planar}
    for place, name in enumerate(ranks):
        known = np.nan_to_num(np.asarray(found.ranks[name], dtype=np.float64), nan=0)
        arrays[f"rank_{place}"] = known.astype("<u4")
    return pack({"feature": found.feature, "distance": found.distance, "k": k, "ranks": ranks}, arrays)


def planar_truth(space: FeatureSpace, feature: int, distance: str) -> dict[str, np.ndarray]:
    """True distances and ranks of a feature's neighbours in the plane, where the layout keeps them."""
    if space.planar is None or distance != next(iter(space.tables), None):
        return {}
    kept = space.planar.indices[feature] >= 0
    found = {
        "planar": space.planar.indices[feature][kept].astype("<u4"),
        "planar_distances": space.planar.distances[feature][kept].astype("<f4"),
    }
    if space.planar.ranks is not None:
        found["planar_ranks"] = space.planar.ranks[feature][kept].astype("<u4")
    return found


def as_neighbors(given: Any, feature: int, distance: str) -> Neighbors:
    """Read `Neighbors`, or a DataFrame with columns feature, distance and, where known, label, density, rank_*."""
    if isinstance(given, Neighbors):
        return given
    if not isinstance(given, pd.DataFrame):
        raise TypeError(f"neighbors must return Neighbors or a DataFrame, got {type(given).__name__}")
    ranks = {name.removeprefix("rank_"): given[name].to_numpy() for name in given if str(name).startswith("rank_")}
    return Neighbors(
        feature=feature,
        distance=distance,
        features=given["feature"].to_numpy(),
        distances=given["distance"].to_numpy(dtype=np.float32),
        labels=tuple(given["label"]) if "label" in given else (),
        density=given["density"].to_numpy() if "density" in given else None,
        ranks={str(name): rank for name, rank in ranks.items()},
    )


def as_lit(text: str, given: Any, n: int) -> Lit:
    """Read activations as ``(features, values)`` or ``{feature: value}``; what does not fire is dropped."""
    pairs = (list(given), list(given.values())) if isinstance(given, Mapping) else given
    features, values = np.asarray(pairs[0], dtype=np.int64), np.asarray(pairs[1], dtype=np.float32)
    if features.shape != values.shape or features.ndim != 1:
        raise ValueError(f"light must return as many values as features, got {features.shape} and {values.shape}")
    if len(features) and (features.min() < 0 or features.max() >= n):
        raise ValueError(f"light named a feature outside 0 to {n - 1}")
    fires = values > 0
    return Lit(text, features[fires], values[fires])


def pack_lit(lit: Lit) -> bytes:
    """Features firing on a sentence."""
    return pack({"text": lit.text}, {"features": lit.features.astype("<u4"), "values": lit.values.astype("<f4")})


def finite(value: float | None) -> float | None:
    """A float as JSON may say it."""
    return None if value is None or not np.isfinite(value) else float(value)
