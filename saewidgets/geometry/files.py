"""A feature space as one file: plain arrays and JSON in a ``.npz``, no pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from saewidgets.records import FeatureSpace, NeighborTable

PLAIN = ("xy", "cluster", "trust", "recall")


def save(space: FeatureSpace, path: Path) -> Path:
    """Write layout, clusters, neighbour tables and faithfulness, so that the file appears whole or not at all.

    What a corpus index knows (labels, densities) is not in it.
    """
    arrays = {name: getattr(space, name) for name in PLAIN if getattr(space, name) is not None}
    tables = {**space.tables, **({"planar": space.planar} if space.planar is not None else {})}
    for name, table in tables.items():
        arrays |= {f"{name}.{part}": array for part, array in _packed(table).items()}
    about: dict[str, Any] = {
        "tables": list(space.tables),
        "planar": space.planar is not None,
        "trustworthiness": space.trustworthiness,
        "neighbor_recall": space.neighbor_recall,
        "cluster_names": list(space.cluster_names),
        "parameters": dict(space.parameters),
    }
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        Path(temporary).chmod(0o644)  # mkstemp gives the file to its owner alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def load(path: Path) -> FeatureSpace:
    """What `save` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged or something else; the message names it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays["about"].tobytes())
        return FeatureSpace(
            **{name: arrays[name] for name in PLAIN if name in arrays},
            cluster_names=tuple(about["cluster_names"]),
            tables={name: _unpacked(arrays, name) for name in about["tables"]},
            planar=_unpacked(arrays, "planar") if about["planar"] else None,
            trustworthiness=about["trustworthiness"],
            neighbor_recall=about["neighbor_recall"],
            parameters=about["parameters"],
        )
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is not a whole map file ({error}): delete it, it will be made again") from error


def _packed(table: NeighborTable) -> dict[str, np.ndarray]:
    """Feature numbers one up, so that −1 is 0, in two bytes where they fit."""
    small = np.uint16 if len(table.indices) < np.iinfo(np.uint16).max else np.uint32
    found = {"indices": (table.indices + 1).astype(small), "distances": table.distances}
    if table.ranks is not None:
        found["ranks"] = table.ranks
    return found


def _unpacked(arrays: dict[str, np.ndarray], name: str) -> NeighborTable:
    indices = arrays[f"{name}.indices"].astype(np.int32) - 1
    return NeighborTable(indices, arrays[f"{name}.distances"], arrays.get(f"{name}.ranks"))
