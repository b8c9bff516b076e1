"""The trained SAE becomes the demo's: fp16 weights, maxima, and a card of figures measured on the shipped file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saewidgets.analysis.fit import Firing
from saewidgets.demos import DATA
from saewidgets.demos.model import NAME
from saewidgets.demos.recipe.train import figures
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder

LOOKED_AT = 1_000_000  # training tokens that every feature is looked for in; those not found, in all the others too


def ship(
    model: LanguageModel,
    sae: SparseAutoencoder,
    work: Path,
    train_paths: Sequence[Path],
    held_out: Sequence[Path],
    about: dict[str, Any],
    folder: Path = DATA,
) -> Path:
    """Write ``sae/`` and ``maxima.npy`` below ``folder``; every figure is of the fp16 file, read back."""
    half = sae.to(dtype=torch.float16)
    measured = half.to(dtype=torch.float32)
    firing, _ = over(measured, train_paths, LOOKED_AT)
    maxima = firing.maximum.numpy()
    rare = np.flatnonzero(maxima == 0)
    maxima[rare], seen = largest(measured, train_paths, rare)
    counts = json.loads((work / "counts.json").read_text())
    found = figures(model, measured, held_out, work / "tokens.npz")
    card = {
        "model": NAME,
        "model_hash": model.hash(),
        **{key: value for key, value in sae.card.items() if key not in ("model", "model_hash")},
        **about,
        "sources": sorted(source["name"] for source in counts["sources"] if not source["held_out"]),
        "held_out_sources": sorted(source["name"] for source in counts["sources"] if source["held_out"]),
        "variance_explained": round(1 - found["fvu"], 4),
        **found,
        "dead": int((maxima == 0).sum()),
        "dead_measured_on_training_tokens": seen,
    }
    files.save(dataclasses.replace(half, card=card), folder / "sae")
    np.save(folder / "maxima.npy", maxima)
    print(json.dumps(card, indent=1))
    return folder


@torch.inference_mode()
def over(sae: SparseAutoencoder, paths: Sequence[Path], tokens: int) -> tuple[Firing, int]:
    """Counts and largest activations over about ``tokens`` rows, the same share of every shard."""
    firing, seen = Firing(sae.d_sae), 0
    each = max(1, tokens // len(paths))
    for path in paths:
        for x in torch.from_numpy(np.array(np.load(path, mmap_mode="r")[:each])).float().split(8192):
            firing.add(sae.encode(x))
            seen += len(x)
    return firing, seen


@torch.inference_mode()
def largest(sae: SparseAutoencoder, paths: Sequence[Path], features: np.ndarray) -> tuple[np.ndarray, int]:
    """Largest activation of some features over all rows, float32 ``[n]``, and how many rows there are."""
    found, seen = torch.zeros(len(features)), 0
    columns = torch.from_numpy(features)
    for path in paths:
        for x in torch.from_numpy(np.load(path)).float().split(8192):
            found = torch.maximum(found, sae.feature_acts(x, columns).amax(0))
            seen += len(x)
    return found.numpy(), seen
