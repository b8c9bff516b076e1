# pyright: reportMissingImports=false
"""The peer of ``train.py``: SAELens' own trainer on the batches that ours gets. Runs where SAELens is installed.

``python train_saelens.py JOB``, with the job as JSON; the last line printed is the result as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def batches(job: dict[str, Any]) -> Iterator[torch.Tensor]:
    """The training batches, the same for both sides: epochs of a seeded permutation of the rows."""
    x = np.load(job["activations"], mmap_mode="r")
    rows = len(x) - job["held_out"]
    random = np.random.default_rng(job["seed"])
    while True:
        order = random.permutation(rows)
        for start in range(0, rows - job["batch"] + 1, job["batch"]):
            picked = np.sort(order[start : start + job["batch"]])
            yield torch.from_numpy(x[picked].astype(np.float32)).to(job["device"])


def result(seconds: float, cpu: float, *packages: str) -> str:
    """What a side reports, as one line of JSON."""
    found = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    return json.dumps(found)


def synchronise(device: str) -> None:
    """Wait for the GPU, so that its work is timed and not the queueing of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def train(job: dict[str, Any]) -> str:
    """Train with SAELens' settings of its own, but for sizes, learning rate and its schedule, and dead window."""
    from sae_lens import (
        BatchTopKTrainingSAE,
        BatchTopKTrainingSAEConfig,
        LoggingConfig,
        SAETrainer,
        TopKTrainingSAE,
        TopKTrainingSAEConfig,
    )
    from sae_lens.config import SAETrainerConfig

    kinds = {
        "topk": (TopKTrainingSAE, TopKTrainingSAEConfig),
        "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
    }
    sae_class, config_class = kinds[job["architecture"]]
    torch.manual_seed(job["seed"])
    steps, device = job["steps"], job["device"]
    given = batches(job)
    first = next(given)
    config = config_class(
        d_in=first.shape[1],
        d_sae=job["d_sae"],
        k=job["k"],
        device=device,
        use_sparse_activations=job["peer_sparse"],
        normalize_activations="expected_average_only_in",
    )
    sae = sae_class(config)

    def provider() -> Iterator[torch.Tensor]:
        yield first  # it estimates the scale on this one, and then trains on it as ours does
        yield first
        yield from given

    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * job["batch"],
            train_batch_size_samples=job["batch"],
            lr=job["peer_lr"],
            lr_end=job["peer_lr"] / 100,
            lr_warm_up_steps=max(1, round(0.02 * steps)),
            lr_decay_steps=round(0.3 * steps),
            device=device,
            autocast=device.startswith("cuda"),
            dead_feature_window=max(1, job["dead_after"] // job["batch"]),
            n_batches_for_norm_estimate=1,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae,
        provider(),
    )
    started, cpu = time.perf_counter(), time.process_time()
    trained = trainer.fit()
    synchronise(device)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    trained.save_inference_model(job["out"])
    return result(seconds, cpu, "sae-lens", "torch")


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    print(train(job))
