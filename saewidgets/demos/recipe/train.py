"""The demo SAE: activations harvested in resumable shards, a TopK SAE trained on them, a card of measured figures."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.fit import ce_recovered, cross_entropies, mean_l0, variance_explained
from saewidgets.analysis.maxima import maxima
from saewidgets.demos import DATA
from saewidgets.demos.model import NAME
from saewidgets.demos.recipe.corpus import CONTEXT
from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.training import train_topk

HOOK = "blocks.15.hook_resid_post"
D_SAE, K = 4096, 32
BATCH, EPOCHS, LR = 2048, 4, 8e-4
SHARD = 512
OUTLIER = 4.0  # tokens above this many median norms are left out of training (DESIGN §4), never out of evaluation


def harvest(model: LanguageModel, work: Path, group: str, max_shards: int | None = None) -> list[Path]:
    """Activations of ``tokens.npz`` as fp16 shards ``acts/<group>_<n>.npy``; finished shards are kept."""
    stored = np.load(work / "tokens.npz")
    rows, lengths = stored[group], stored[f"{group}_lengths"]
    (work / "acts").mkdir(exist_ok=True)
    paths = []
    for start in range(0, len(rows), SHARD)[:max_shards]:
        path = work / "acts" / f"{group}_{start // SHARD:03d}.npy"
        paths.append(path)
        if not path.exists():
            temporary = path.with_suffix(".tmp.npy")
            np.save(temporary, _shard(model, rows[start : start + SHARD], lengths[start : start + SHARD], group))
            temporary.replace(path)
            print("harvested", path.name, flush=True)
    return paths


def _shard(model: LanguageModel, rows: np.ndarray, lengths: np.ndarray, group: str) -> np.ndarray:
    parts = []
    for batch in np.array_split(np.argsort(lengths, kind="stable"), math.ceil(len(rows) / 16)):
        longest = int(lengths[batch].max())
        x = capture(model, torch.from_numpy(rows[batch, :longest].astype(np.int64)), HOOK)
        # Padding stands behind the text, where causal attention cannot see it; position 0 is BOS.
        keep = torch.arange(longest)[None] < torch.from_numpy(lengths[batch])[:, None]
        keep[:, 0] = False
        kept = x[keep]
        if group == "train":
            norms = kept.norm(dim=1)
            kept = kept[norms < OUTLIER * norms.median()]
        parts.append(kept.half().numpy())
    return np.concatenate(parts)


def batches(paths: list[Path], seed: int = 0) -> Iterator[Tensor]:
    """Shuffled batches, four shards in memory at once, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(paths))
        for group in np.array_split(order, math.ceil(len(paths) / 4)):
            acts = np.concatenate([np.load(paths[i]) for i in group])
            shuffled = rng.permutation(len(acts))
            for start in range(0, len(acts) - BATCH + 1, BATCH):
                yield torch.from_numpy(acts[np.sort(shuffled[start : start + BATCH])]).float()


def train(model: LanguageModel, work: Path, max_shards: int | None = None) -> Path:
    """Harvest, train, measure and write ``demos/data``; finished parts are kept and skipped."""
    held_out = harvest(model, work, "held_out")
    paths = harvest(model, work, "train", max_shards)
    tokens = sum(len(np.load(path, mmap_mode="r")) for path in paths)
    steps = EPOCHS * tokens // BATCH
    trained = work / "trained"
    if not (trained / files.WEIGHTS).exists():
        started = time.time()
        log = (work / "train.jsonl").open("w")

        def note(figures: dict[str, Any]) -> None:
            print(json.dumps({**figures, "of": steps, "seconds": round(time.time() - started)}), file=log, flush=True)

        sae = train_topk(batches(paths), d_sae=D_SAE, k=K, steps=steps, lr=LR, on_step=note)
        files.save(dataclasses.replace(sae, hook_name=HOOK, model_name=NAME), trained)
    sae = files.load(trained).to(dtype=torch.float16).to(dtype=torch.float32)  # measured as shipped
    card = {
        "model": NAME,
        "model_hash": model.hash(),
        "training_tokens": tokens,
        "epochs": EPOCHS,
        "k": K,
        "sources": json.loads((work / "counts.json").read_text()),
        **evaluate(model, sae, work, held_out),
    }
    best = maxima((torch.from_numpy(np.load(path)).float() for path in paths), sae)
    card["features_that_never_fired_in_training_text"] = int((best == 0).sum())
    files.save(dataclasses.replace(sae, card=card).to(dtype=torch.float16), DATA / "sae")
    np.save(DATA / "maxima.npy", best.astype(np.float32))
    print(json.dumps(card, indent=1))
    return DATA


@torch.inference_mode()
def evaluate(model: LanguageModel, sae: SparseAutoencoder, work: Path, held_out: list[Path]) -> dict[str, float]:
    """Figures on sources not trained on: all positions from 1, outliers included."""
    x = torch.from_numpy(np.concatenate([np.load(path) for path in held_out])).float()
    explained = variance_explained(x, torch.cat([sae.reconstruct(part) for part in x.split(8192)]))
    stored = np.load(work / "tokens.npz")
    full = stored["held_out"][stored["held_out_lengths"] == CONTEXT][:64].astype(np.int64)
    ids = torch.from_numpy(full)
    keep = torch.ones(ids.shape, dtype=torch.bool)
    keep[:, 0] = False
    losses = torch.tensor(
        [cross_entropies(model, sae, part, HOOK, keep[: len(part)], x.mean(0)) for part in ids.split(8)]
    ).mean(0)
    bare, with_sae, ablated = losses.tolist()
    return {
        "variance_explained": round(explained, 4),
        "l0": round(mean_l0(sae, x[:20_000]), 2),
        "held_out_tokens": len(x),
        "ce_bare": round(bare, 4),
        "ce_with_sae": round(with_sae, 4),
        "ce_mean_ablated": round(ablated, 4),
        "ce_recovered_vs_mean_ablation": round(ce_recovered(bare, with_sae, ablated), 4),
    }
