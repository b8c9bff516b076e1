"""The map of an SAE: layout, clusters, neighbours and how far to trust them; made once, then read from a file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saewidgets.analysis.logits import Unembedding
from saewidgets.analysis.space import Distances
from saewidgets.geometry import files
from saewidgets.geometry.clusters import clusters, names
from saewidgets.geometry.faithfulness import faithfulness
from saewidgets.geometry.layout import layout, principal
from saewidgets.geometry.neighbors import nearest
from saewidgets.geometry.similarity import Cosine
from saewidgets.geometry.steps import Step, silent
from saewidgets.lm.worker import go_on
from saewidgets.records import FeatureSpace, NeighborTable, Provenance

TABLE = 30  # neighbours a feature kept with the map
CLUSTER_DIMENSIONS, CLUSTER_MIN_DIST = 10, 0.1  # Bricken et al. 2023, as are n_neighbors=15 and min_dist=0.05
VERSION = 1  # of the map file; a change makes cached maps anew
NAME_TOKENS = 2
PATIENCE = 1.0  # seconds before a bar is shown


def atlas(
    distances: Distances, *, n_neighbors: int = 15, min_dist: float = 0.05, seed: int = 0, step: Step = silent
) -> FeatureSpace:
    """The map of an SAE's features by the cosine of their decoder vectors.

    Exact neighbours, UMAP from their principal components, HDBSCAN on a 10-D UMAP (Bricken et al. 2023), and the
    faithfulness of the result. The same weights and parameters give the same map, bit for bit on one machine.

    Args:
        distances: of the SAE.
        n_neighbors: of UMAP, the feature itself included.
        min_dist: of UMAP.
        seed: of UMAP.
        step: told how far the work is.

    Raises:
        ValueError: when there are too few features with a direction for ``n_neighbors``, or a parameter is impossible.
    """
    measure = distances.by("decoder")
    assert isinstance(measure, Cosine)
    checked_parameters(int(measure.present.sum()), n_neighbors, min_dist)
    units = measure.units()
    table = nearest(measure, min(max(TABLE, n_neighbors), measure.n - 1), step=step)
    near = NeighborTable(table.indices[:, : n_neighbors - 1], table.distances[:, : n_neighbors - 1])
    xy = layout(near, principal(units, 2), min_dist=min_dist, seed=seed, step=step)
    wide = principal(units, min(CLUSTER_DIMENSIONS, units.shape[1]))
    points = layout(near, wide, min_dist=CLUSTER_MIN_DIST, seed=seed, stage="layout for clusters", step=step)
    step("clusters", 0.0)
    cluster = np.full(measure.n, -1, np.int32)
    present = measure.present.numpy()
    cluster[present] = clusters(points[present])
    k = min(n_neighbors, (int(present.sum()) - 1) // 2)
    trust = faithfulness(measure, table, xy, k, seed, step)
    return FeatureSpace(
        xy=xy,
        cluster=cluster,
        cluster_names=promoted(cluster, distances),
        tables={"decoder": table},
        parameters=parameters(n_neighbors, min_dist, seed) | {"faithfulness_k": k, "umap-learn": _umap()},
        **trust._asdict(),
    )


def checked_parameters(n: int, n_neighbors: int, min_dist: float) -> None:
    """Refuse what UMAP cannot do with ``n`` features.

    Raises:
        ValueError: naming what is wrong.
    """
    if n_neighbors < 2:
        raise ValueError(f"n_neighbors must be at least 2 (a feature and its nearest), got {n_neighbors}")
    if n <= n_neighbors:
        raise ValueError(
            f"n_neighbors={n_neighbors} needs more than {n_neighbors} features with a direction, there are {n}: "
            f"pass a smaller n_neighbors"
        )
    if not 0 <= min_dist <= 1:
        raise ValueError(f"min_dist must be from 0 to 1, got {min_dist}")


def parameters(n_neighbors: int, min_dist: float, seed: int) -> dict[str, Any]:
    """Everything that decides what `atlas` gives, besides the weights."""
    return {
        "distance": "decoder",
        "n_neighbors": n_neighbors,
        "min_dist": min_dist,
        "seed": seed,
        "start": "principal components",
        "clusters": f"HDBSCAN on a {CLUSTER_DIMENSIONS}-D UMAP, min_dist={CLUSTER_MIN_DIST}",
        "version": VERSION,
    }


def _umap() -> str:
    return importlib.metadata.version("umap-learn")  # told, but not part of the name: a shipped map suits every version


def kept_atlas(distances: Distances, sae_hash: str, folders: Sequence[Path], step: Step, **given: Any) -> FeatureSpace:
    """`atlas`, read from the first of ``folders`` that has it, else made and written into the last.

    The file's name is a fingerprint of weights and parameters, so a map of other weights is never read. Reading one
    imports no umap.
    """
    chosen = parameters(**{"n_neighbors": 15, "min_dist": 0.05, "seed": 0, **given})
    path = kept(f"map-{sae_hash}-{fingerprint(chosen)}.npz", folders)
    if path.exists():
        return files.load(path)
    space = atlas(distances, step=step, **given)
    files.save(space, path)
    return space


def kept_medians(
    measure: Callable[[], np.ndarray], sae_hash: str, model_hash: str, folders: Sequence[Path]
) -> np.ndarray:
    """The slow part of logit effects, read from the first of ``folders`` that has it, else measured and written."""
    path = kept(f"logit-medians-{sae_hash}-{model_hash}.npy", folders)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            np.save(Path(folder) / path.name, measure(), allow_pickle=False)
            os.replace(Path(folder) / path.name, path)
    return np.load(path, allow_pickle=False)


def kept(name: str, folders: Sequence[Path]) -> Path:
    """The file of that name in the first folder that has it, else where it belongs, in the last."""
    return next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)


def fingerprint(chosen: dict[str, Any]) -> str:
    """Twelve hex digits of a set of parameters."""
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


def dressed(space: FeatureSpace, distances: Distances, provenance: Provenance) -> FeatureSpace:
    """The map with what is known of the features now: labels, densities, cluster names, where it comes from."""
    index, found = distances.index, {}
    if index is not None:
        found = {
            "labels": tuple(index.labels),
            "density": np.asarray(index.density, np.float32),
            "label_scores": np.asarray(index.label_scores, np.float32),
        }
    called = space.cluster_names
    if index is not None:
        by_label = names(space.cluster, found["labels"])
        called = tuple(said or token for said, token in zip(by_label, called, strict=True))
    return dataclasses.replace(space, cluster_names=called, provenance=provenance, **found)


@torch.inference_mode()
def promoted(cluster: np.ndarray, distances: Distances) -> tuple[str, ...]:
    """A name a cluster that needs no labels: the tokens its members' mean decoder direction makes likelier.

    "" for all where the SAE does not write into the residual stream.
    """
    measure, count = distances.by("decoder"), int(cluster.max(initial=-1)) + 1
    assert isinstance(measure, Cosine)
    if not count or "logit" not in distances.possible:
        return ("",) * count
    place = torch.from_numpy(np.where(cluster < 0, count, cluster)).to(measure.vectors.device)
    mean = measure.vectors.new_zeros(count + 1, measure.vectors.shape[1]).index_add_(0, place, measure.units())
    found = Unembedding(distances.model).top(mean[:count], k=24).up
    words = {token: distances.model.tokenizer.decode([token]) for token in np.unique(found).tolist()}
    return tuple(_first_words([words[token] for token in row]) for row in found.tolist())


def _first_words(words: list[str]) -> str:
    """Whole words before pieces of words, most promoted first; one of each spelling."""
    whole = sorted(words, key=lambda word: not (word.startswith(" ") and word.strip().isalpha()))
    kept: dict[str, str] = {}
    for word in whole:
        if word.strip() and word.isprintable():
            kept.setdefault(word.strip().lower(), word.strip())
    return ", ".join(list(kept.values())[:NAME_TOKENS])


@contextlib.contextmanager
def progress(stop: threading.Event | None = None) -> Iterator[Step]:
    """Gives a step that shows a bar once the work takes its time, and ends it with `Stopped` once ``stop`` is set."""
    from tqdm.auto import tqdm

    started, bars = time.monotonic(), []

    def step(stage: str, share: float) -> None:
        go_on(stop)
        if not bars:
            if time.monotonic() - started < PATIENCE:
                return
            bars.append(tqdm(total=100, leave=False, bar_format="{desc} {percentage:3.0f}%|{bar}|"))
        bars[0].set_description_str(stage, refresh=False)
        bars[0].update(round(100 * share) - bars[0].n)

    try:
        yield step
    finally:
        for bar in bars:
            bar.close()
