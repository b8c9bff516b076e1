"""The scan: against the forward pass and encode alone, over more and more tokens, and against SAEDashboard.

Every measurement runs in a fresh process, sides in turn. The model is a randomly initialised GPT-2 (the work is that of
a trained one), the SAE a JumpReLU of random directions whose thresholds let about 46 features of a token through.

*floor*: forward to the hook and encode, nothing kept. *scan*: the same, and everything of an index folder: counts,
histograms, maxima, means, the 20 strongest and the interval examples with their windows, token statistics, sampled
co-activation; the share of statistics is (scan − floor) / floor. *with meaning*: and logit weights, neurons, labels.

Against SAEDashboard 0.8 (``--peer``, the Python of an environment with it): matched outputs are density, histogram,
top and interval examples with context, tables of promoted and suppressed tokens and of correlated features. It also
tells each token's logit effect in an example; ours also has neurons, labels and their scores. Its cost grows with the
features asked for, ours does not: a scan always covers all.

Run with ``python benchmarks/scan.py [--tokens 65536] [--d-sae 4096] [--peer PYTHON --features 64 256 1024 4096]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import versions
from scan_saedashboard import result

HERE = Path(__file__).resolve().parent
CONTEXT = 128
L0 = 46
PARTS = ("floor", "memory", "peer")


def prepare(folder: Path, given: argparse.Namespace, d_sae: int) -> dict[str, Any]:
    """A model, an SAE and tokens on disk, seeded."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from saewidgets.demos.model import demo_model

    tokenizer = demo_model().tokenizer
    torch.manual_seed(0)
    shape = {"n_layer": given.layers, "n_embd": given.width, "n_head": max(1, given.width // 64)}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=CONTEXT, bos_token_id=0, eos_token_id=0, **shape)
    GPT2LMHeadModel(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    # No window begins with BOS, so that both sides count every position.
    tokens = np.random.default_rng(0).zipf(1.3, (given.tokens // CONTEXT, CONTEXT)) % (len(tokenizer) - 1) + 1
    np.save(folder / "tokens.npy", tokens.astype(np.int32))
    job = {"model": str(folder / "model"), "tokens": str(folder / "tokens.npy"), "d_sae": d_sae}
    job |= {"hook_name": f"blocks.{given.layers * 2 // 3}.hook_resid_post", "threads": given.threads}
    make_sae(folder / "sae", job)
    return {**job, "sae": str(folder / "sae")}


@torch.inference_mode()
def make_sae(folder: Path, job: dict[str, Any]) -> None:
    """Random unit directions; each feature's threshold lets its share of the first tokens through."""
    from saewidgets.lm.capture import capture
    from saewidgets.lm.load import load_model
    from saewidgets.sae import files
    from saewidgets.sae.activations import JumpReLU
    from saewidgets.sae.autoencoder import SparseAutoencoder

    ids = torch.from_numpy(np.load(job["tokens"])[:32].astype(np.int64))
    x = capture(load_model(job["model"]), ids, job["hook_name"]).flatten(0, 1)
    W = torch.nn.functional.normalize(torch.randn(job["d_sae"], x.shape[1]), dim=1)
    mean = x.mean(0)
    threshold = torch.quantile((x - mean) @ W.T, 1 - L0 / job["d_sae"], dim=0).clamp(min=1e-3)
    zeros = torch.zeros(job["d_sae"])
    sae = SparseAutoencoder(W.T.contiguous(), zeros, W, mean, JumpReLU(threshold), hook_name=job["hook_name"])
    files.save(sae, folder)


def measure(job: dict[str, Any]) -> str:
    """One side of one round, in this process."""
    from saewidgets.analysis.meaning import add_meaning
    from saewidgets.index import scan
    from saewidgets.index.corpus import shards
    from saewidgets.index.fingerprint import fingerprint
    from saewidgets.index.index import Index
    from saewidgets.index.reader import ModelReader
    from saewidgets.lm.load import load_model
    from saewidgets.sae import files

    model, sae = load_model(job["model"]), files.load(job["sae"])
    reader = ModelReader(model, sae, job["hook_name"])
    windows = np.load(job["tokens"], mmap_mode="r")[: job.get("windows")]
    about = {**fingerprint(model, sae, job["hook_name"], True), "seed": 0}
    started, cpu = time.perf_counter(), time.process_time()
    more: dict[str, Any] = {}
    if job["side"] == "floor":
        with torch.inference_mode():
            for shard in shards(windows):
                for batch in reader._batches(shard, threading.Event()):
                    reader._features(shard, batch)
    else:
        folder = Path(job["out"])
        scan.scan(scan.local(reader), shards(windows), folder, about)
        if job["side"] == "with meaning":
            add_meaning(folder, model, sae, job["hook_name"])
        index = Index(folder)
        more = {"density": index.density.tolist(), "maximum": index.maximum.tolist()}
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return result(seconds, cpu, "saewidgets", "torch", **more)


def run(python: str, script: str, job: dict[str, Any]) -> dict[str, Any]:
    """One side of one round in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        task = json.dumps({**job, "out": f"{out}/index"})
        done = subprocess.run([python, str(HERE / script), task], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} failed under {python}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(job: dict[str, Any], side: str, **more: Any) -> dict[str, Any]:
    """A round of ours."""
    return run(sys.executable, "scan.py", {**job, "side": side, **more})


def middle(rounds: list[dict[str, Any]], what: str) -> float:
    """The median of a figure over rounds."""
    return statistics.median(one[what] for one in rounds)


def against_the_floor(job: dict[str, Any], rounds: int, tokens: int) -> None:
    """Print the floor, the scan, and what the statistics add."""
    sides = ("floor", "scan", "with meaning")
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            found[side].append(ours(job, side))
    print(f"\n{job['d_sae']:,} features, {tokens:,} tokens\n  {'':14s}{'tok/s':>8s}{'CPU s':>9s}{'peak GB':>9s}")
    for side, all_rounds in found.items():
        speed = tokens / middle(all_rounds, "seconds")
        cpu, peak = middle(all_rounds, "cpu_seconds"), middle(all_rounds, "peak_gb")
        print(f"  {side:14s}{speed:8,.0f}{cpu:9.1f}{peak:9.2f}")
    floor, scan = (middle(found[side], "cpu_seconds") for side in ("floor", "scan"))
    print(
        f"  of the floor, in CPU seconds: {floor / scan:.0%} (goal 80 %); "
        f"statistics {scan / floor - 1:.1%} (goal 10 %)",
        flush=True,
    )


def over_tokens(job: dict[str, Any], tokens: int) -> None:
    """Print peak memory over the number of tokens."""
    print(f"\n{job['d_sae']:,} features, peak memory of a scan over tokens")
    for share in (8, 4, 2, 1):
        windows = tokens // CONTEXT // share
        print(f"  {windows * CONTEXT:10,} tokens {ours(job, 'scan', windows=windows)['peak_gb']:6.2f} GB", flush=True)


def against_the_peer(job: dict[str, Any], peer: str, counts: list[int], tokens: int) -> None:
    """Print both sides over increasing feature counts, and whether their statistics agree."""
    mine = ours(job, "with meaning")
    print(f"\nSAEDashboard, {tokens:,} tokens, of {job['d_sae']:,} features; ours covers all of them")
    cpu, peak = mine["cpu_seconds"], mine["peak_gb"]
    print(f"  {'':20s}{'CPU s':>9s}{'wall s':>9s}{'peak GB':>9s}")
    print(f"  {'ours':20s}{cpu:9.1f}{mine['seconds']:9.1f}{peak:9.2f}")
    for count in counts:
        theirs = run(peer, "scan_saedashboard.py", {**job, "features": count})
        name = f"SAEDashboard {count:,}"
        print(f"  {name:20s}{theirs['cpu_seconds']:9.1f}{theirs['seconds']:9.1f}{theirs['peak_gb']:9.2f}", flush=True)
        times, memory = theirs["cpu_seconds"] / cpu, peak / theirs["peak_gb"]
        print(f"    CPU seconds {times:.1f}× (goal 30× at 4,096), ours / their memory {memory:.2f} (goal ½)")
        near = np.abs(np.subtract(theirs["density"], mine["density"][:count])) <= 2 / tokens
        same = np.isclose(theirs["maximum"], mine["maximum"][:count], rtol=1e-3)
        print(f"    same density {near.mean():.1%}, same maximum {same.mean():.1%}; {theirs['versions']}")


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--d-sae", type=int, nargs="+", default=[4096, 16_384])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peer", help="Python that has sae-dashboard 0.8")
    parser.add_argument("--features", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    given = parser.parse_args()
    print(f"{versions('saewidgets', 'torch', 'numpy', 'scipy')}, {given.threads} threads")
    print(f"GPT-2 of {given.layers} layers, {given.width} wide; {given.rounds} rounds")
    for d_sae in given.d_sae:
        with tempfile.TemporaryDirectory() as folder:
            job = prepare(Path(folder), given, d_sae)
            tokens = given.tokens // CONTEXT * CONTEXT
            if "floor" in given.parts:
                against_the_floor(job, given.rounds, tokens)
            if "memory" in given.parts:
                over_tokens(job, tokens)
            if "peer" in given.parts and given.peer and d_sae == given.d_sae[0]:
                against_the_peer(job, given.peer, [n for n in given.features if n <= d_sae], tokens)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        task = json.loads(sys.argv[1])
        torch.set_num_threads(task["threads"])
        print(measure(task))
    else:
        main()
