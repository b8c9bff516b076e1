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

DEAD_TOKENS = 1_000_000  # training tokens on which a feature must fire to count as alive


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
    firing, seen = over(measured, train_paths, DEAD_TOKENS)
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
        "dead": int((firing.counts == 0).sum()),
        "dead_measured_on_training_tokens": seen,
    }
    files.save(dataclasses.replace(half, card=card), folder / "sae")
    np.save(folder / "maxima.npy", firing.maximum.numpy())
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
