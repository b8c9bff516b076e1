"""One SAE trained on harvested shards, and its figures on sources it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saewidgets.analysis.fit import Firing, Fit, ce_recovered, cross_entropies
from saewidgets.demos.model import NAME
from saewidgets.demos.recipe import precision, process
from saewidgets.demos.recipe.corpus import CONTEXT
from saewidgets.demos.recipe.harvest import Shards
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.training.run import TrainingRun

BUFFER = 1 << 18
LOSS_WINDOWS = 64


def train(source: Shards, folder: Path, *, tokens: int, **options: Any) -> SparseAutoencoder:
    """Train on shards in a process of its own (`TrainingRun` has the options).

    Checkpoints and the result are in ``folder``; what is finished is not trained again.
    """
    if not (folder / "finished").exists():
        with process.pool(1) as pool:
            pool.apply(_learn, (source, folder, tokens, options))
    return files.load(folder)


def _learn(source: Shards, folder: Path, tokens: int, options: dict[str, Any]) -> None:
    about = {"hook_name": options.pop("hook_name"), "model_name": NAME}
    run = TrainingRun(source, total_tokens=tokens, buffer_tokens=BUFFER, folder=folder, about=about, **options)
    with precision.training():
        _ = run.sae
    run.history.to_csv(folder / "history.csv", index=False)
    (folder / "finished").touch()


@torch.inference_mode()
def figures(model: LanguageModel, sae: SparseAutoencoder, held_out: Sequence[Path], tokens: Path) -> dict[str, float]:
    """Figures on sources not trained on: all positions from 1, outliers included; FVU also without them."""
    fit, common, firing = Fit(), Fit(), Firing(sae.d_sae)
    l0 = 0.0
    for path in held_out:
        x = torch.from_numpy(np.load(path)).float()
        norms = x.norm(dim=1)
        for part, norm in zip(x.split(4096), norms.split(4096), strict=True):
            acts = sae.encode(part)
            recon = sae.decode(acts)
            fit.add(part, recon)
            usual = norm <= 4 * norms.median()
            common.add(part[usual], recon[usual])
            firing.add(acts)
            l0 += float((acts.values > 0).sum())
    stored = np.load(tokens)
    full = stored["held_out"][stored["held_out_lengths"] == CONTEXT]
    ids = torch.from_numpy(full[:: max(1, len(full) // LOSS_WINDOWS)][:LOSS_WINDOWS].astype(np.int64))
    keep = torch.ones(ids.shape, dtype=torch.bool)
    keep[:, 0] = False
    losses = [
        cross_entropies(model, sae, part, sae.hook_name, keep[: len(part)], fit.mean.float()) for part in ids.split(8)
    ]
    bare, with_sae, ablated = torch.tensor(losses).mean(0).tolist()
    return {
        "fvu": round(fit.fvu, 4),
        "fvu_without_outliers": round(common.fvu, 4),
        "l0": round(l0 / fit.n, 2),
        "held_out_tokens": fit.n,
        "silent_on_held_out": int((firing.counts == 0).sum()),
        "ce_bare": round(bare, 4),
        "ce_with_sae": round(with_sae, 4),
        "ce_mean_ablated": round(ablated, 4),
        "ce_recovered_vs_mean_ablation": round(ce_recovered(bare, with_sae, ablated), 4),
    }
