"""Training: ours against SAELens' trainer, on the same activations, sizes, batches and steps.

Both sides run in a fresh process a round, in turn; SAELens in an environment of its own (``pip install sae-lens``),
whose Python is given with ``--peer`` or in the environment variable ``SAELENS_PYTHON``. Each saves its SAE, and one
piece of code (ours) measures both files on the same held-out rows. The time is that of the training loop alone, batches
included; peak memory is the process's, the activations it touched included.

The learning rate and its schedule (2 % warm-up, 30 % linear decay) are the same unless ``--peer-lr`` is given; both
divide the input by one number. Everything else is each trainer's own default: SAELens starts b_dec at zero and its
directions at random, where ours start at the mean and half way to samples of the first batch, and clips gradients; so
short runs flatter ours. On a busy machine the CPU
seconds say more than tokens/s.

Run with ``python benchmarks/train.py --peer PYTHON [--activations x.npy] [--d-sae 16384 --k 40 --steps 1000]``. Without
``--activations`` (``[rows, d_in]``, float16 or float32) a seeded planted dictionary is used.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import versions
from train_saelens import batches, result, synchronise

HERE = Path(__file__).resolve().parent
HELD_OUT = 8192


def planted_activations(path: Path, rows: int, d_in: int, seed: int) -> None:
    """Samples of 8 · d_in planted directions, 16 active at once, with a mean of its own and a little noise."""
    from saewidgets.sae.toy import planted

    world = planted(8 * d_in, d_in, active=16, skew=0.5, seed=seed)
    noise = torch.Generator().manual_seed(seed)
    mean = torch.randn(d_in, generator=noise)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(rows, d_in))
    for start in range(0, rows, 1024):
        x = world.sample(min(1024, rows - start), seed=seed + 1 + start)[0] + mean
        out[start : start + len(x)] = (x + 0.02 * torch.randn(x.shape, generator=noise)).numpy()
    out.flush()


def train(job: dict[str, Any]) -> str:
    """Our side of one round."""
    from saewidgets.sae import files
    from saewidgets.sae.training.trainer import Trainer

    given = batches(job)
    first = next(given)
    trainer = Trainer(
        first,
        d_sae=job["d_sae"],
        k=job["k"],
        steps=job["steps"],
        architecture=job["architecture"],
        lr=job["lr"],
        dead_after=job["dead_after"],
        seed=job["seed"],
    )
    started, cpu = time.perf_counter(), time.process_time()
    trainer.step(first)
    for _ in range(job["steps"] - 1):
        trainer.step(next(given))
    synchronise(job["device"])
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    files.save(trainer.sae(hook_name="x").to("cpu"), job["out"])
    return result(seconds, cpu, "saewidgets", "torch")


def run(python: str, script: str, job: dict[str, Any]) -> dict[str, Any]:
    """One side of one round in a fresh process."""
    done = subprocess.run([python, str(HERE / script), json.dumps(job)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} failed under {python}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@torch.inference_mode()
def quality(folder: str, job: dict[str, Any]) -> dict[str, float]:
    """FVU, L0 and silent features of a saved SAE on the held-out rows, by the same code for both."""
    from saewidgets.analysis.fit import Firing, Fit
    from saewidgets.sae.formats import load_sae

    sae = load_sae(folder, hook_name="x")
    fit, firing = Fit(), Firing(sae.d_sae)
    for rows in np.array_split(np.load(job["activations"], mmap_mode="r")[-job["held_out"] :], 16):
        x = torch.from_numpy(rows.astype(np.float32))
        fit.add(x, sae.reconstruct(x))
        firing.add(sae.encode(x))
    silent = float((firing.counts == 0).float().mean())
    return {"fvu": fit.fvu, "l0": int(firing.counts.sum()) / fit.n, "silent": silent}


def rows_to_print(found: dict[str, list[dict[str, Any]]], tokens: int) -> None:
    """The table and the ratios."""
    print(f"\n  {'':10s}{'tokens/s, median (all)':34s}{'CPU s':>8s}{'peak GB':>9s}{'FVU':>9s}{'L0':>8s}{'silent':>8s}")
    for name, rounds in found.items():
        speeds = [tokens / one["seconds"] for one in rounds]
        every = ", ".join(f"{speed:,.0f}" for speed in speeds)
        last = rounds[-1]
        print(
            f"  {name:10s}{f'{statistics.median(speeds):,.0f}  ({every})':34s}"
            f"{statistics.median(one['cpu_seconds'] for one in rounds):8.1f}{max(r['peak_gb'] for r in rounds):9.2f}"
            f"{last['fvu']:9.4f}{last['l0']:8.1f}{last['silent']:8.1%}"
        )
    ours, peer = found["ours"], found["SAELens"]
    speed = statistics.median(p["seconds"] / o["seconds"] for o, p in zip(ours, peer, strict=True))
    print(f"\n  speed, ours / SAELens, median of rounds: {speed:.2f} (goal 1)")
    cpu = statistics.median(p["cpu_seconds"] / o["cpu_seconds"] for o, p in zip(ours, peer, strict=True))
    print(f"  CPU seconds, SAELens / ours, median of rounds: {cpu:.2f}")
    print(f"  FVU at equal steps, ours / SAELens: {ours[-1]['fvu'] / peer[-1]['fvu']:.3f} (goal at most 1)")
    print(f"  peak memory, ours / SAELens: {ours[-1]['peak_gb'] / peer[-1]['peak_gb']:.2f}")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=os.environ.get("SAELENS_PYTHON"), help="Python that has sae-lens")
    parser.add_argument("--activations", type=Path, help="a .npy file [rows, d_in]; default: a planted dictionary")
    parser.add_argument("--rows", type=int, default=65_536, help="of the planted dictionary")
    parser.add_argument("--d-in", type=int, default=256, help="of the planted dictionary")
    parser.add_argument("--architecture", choices=("topk", "batchtopk"), default="topk")
    parser.add_argument("--d-sae", type=int, default=4096)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--peer-lr", type=float, help="default: the same")
    parser.add_argument("--peer-sparse", action="store_true", help="SAELens' use_sparse_activations")
    parser.add_argument("--dead-after", type=int, default=200_000, help="tokens")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    found = parser.parse_args()
    if not found.peer:
        parser.error("give the Python of an environment with sae-lens: --peer PYTHON, or SAELENS_PYTHON")
    return found


def main() -> None:
    """Run the rounds and print the table."""
    given = options()
    job = {**vars(given), "peer_lr": given.peer_lr or given.lr}
    with tempfile.TemporaryDirectory() as folder:
        path = given.activations or Path(folder) / "planted.npy"
        if given.activations is None:
            planted_activations(path, given.rows, given.d_in, given.seed)
        shape = np.load(path, mmap_mode="r").shape
        job |= {"activations": str(path.resolve()), "held_out": min(HELD_OUT, shape[0] // 10), "rows": shape[0]}
        if shape[0] - job["held_out"] < given.batch:
            raise SystemExit(f"{shape[0]} rows are too few for batches of {given.batch}")
        sides = {"ours": (sys.executable, "train.py"), "SAELens": (given.peer, "train_saelens.py")}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for number in range(given.rounds):
            for name in list(sides) if number % 2 == 0 else list(reversed(sides)):
                out = str(Path(folder) / name)
                python, script = sides[name]
                done = run(python, script, {**job, "out": out})
                found[name].append(done | quality(out, job))
        source = given.activations.name if given.activations else "planted dictionary"
        print(f"{versions('saewidgets', 'numpy')}, {given.threads} threads, {given.device}")
        print(", ".join(f"{name}: {rounds[0]['versions']}" for name, rounds in found.items()))
        print(
            f"{given.architecture}, {source} {shape}, d_sae {given.d_sae}, k {given.k}, {given.steps} steps of "
            f"{given.batch}, {given.rounds} interleaved rounds, FVU on {job['held_out']} held-out rows"
        )
        rows_to_print(found, given.steps * given.batch)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        task = json.loads(sys.argv[1])
        torch.set_num_threads(task["threads"])
        print(train(task))
    else:
        main()
