"""The map: exact neighbours against faiss Flat, the layout against default umap-learn, one feature of 131k.

Both sides of a comparison run in a fresh process a round, in turn, on the same rows. Neighbours: all k nearest of all
rows by cosine, against ``IndexFlatIP``; the two are compared afterwards and must agree. Layout: from the decoder to 2-D
(imports, compilation, neighbours and layout), against ``UMAP(metric="cosine", n_neighbors=15, min_dist=0.05,
random_state=0)`` fitted as its documentation has it; trustworthiness and recall at 15 of both by one piece of code.

Run with ``python benchmarks/map.py [--peer PYTHON] [--vectors W_dec.npy] [--sizes 16384 65536] [--rounds 3]``. The
peer (or ``FAISS_PYTHON``) is a Python that has faiss-cpu, by default this one. ``--parts`` picks ``neighbours``,
``layout`` or ``one``.
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
from common import versions
from map_faiss import report, rows_of

HERE = Path(__file__).resolve().parent
K = 15


def ours_neighbours(job: dict[str, Any]) -> str:
    """Our side: `saewidgets.geometry.neighbors.nearest`."""
    import torch

    from saewidgets.geometry.neighbors import nearest
    from saewidgets.geometry.similarity import Cosine

    torch.set_num_threads(job["threads"])
    x = torch.from_numpy(rows_of(job))
    wall, cpu = time.perf_counter(), time.process_time()
    table = nearest(Cosine(x), job["k"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(job["out"], values=1 - table.distances, found=table.indices)
    return report(wall, cpu, versions=versions("torch", "numpy"))


def ours_layout(job: dict[str, Any]) -> str:
    """Our side of the layout, imports included."""
    x = rows_of(job)
    wall, cpu = time.perf_counter(), time.process_time()
    import torch

    from saewidgets.geometry.layout import layout, principal
    from saewidgets.geometry.neighbors import nearest
    from saewidgets.geometry.similarity import Cosine

    torch.set_num_threads(job["threads"])
    measure = Cosine(torch.from_numpy(x))
    xy = layout(nearest(measure, K - 1), principal(measure.units(), 2))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(job["out"], xy=xy)
    return report(wall, cpu, versions=versions("umap-learn", "torch"))


def peer_layout(job: dict[str, Any]) -> str:
    """umap-learn as its documentation has it, imports included."""
    x = rows_of(job)
    wall, cpu = time.perf_counter(), time.process_time()
    from umap import UMAP

    xy = UMAP(n_neighbors=K, min_dist=0.05, metric="cosine", random_state=0).fit_transform(x)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(job["out"], xy=np.asarray(xy, np.float32))
    return report(wall, cpu, versions=versions("umap-learn", "pynndescent"))


SIDES = {"ours_neighbours": ours_neighbours, "ours_layout": ours_layout, "peer_layout": peer_layout}


def run(python: str, script: str, job: dict[str, Any]) -> dict[str, Any]:
    """One side of one round in a fresh process, as many threads as the other side."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(job["threads"]))
    command = [python, str(HERE / script), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})
    if done.returncode:
        raise SystemExit(f"{script} failed under {python}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rounds(job: dict[str, Any], sides: dict[str, tuple[str, str, str]], count: int, folder: Path) -> dict[str, Any]:
    """Every side in turn, ``count`` times."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(count):
        for name in list(sides) if number % 2 == 0 else list(reversed(sides)):
            python, script, side = sides[name]
            found[name].append(run(python, script, {**job, "side": side, "out": str(folder / f"{side}.npz")}))
    return found


def table(title: str, found: dict[str, list[dict[str, Any]]], goal: float, extra: dict[str, str]) -> None:
    """Wall, CPU seconds and memory of both sides, and the ratio of peer to ours."""
    print(f"\n{title}\n  {'':14s}{'wall s, median (all)':34s}{'CPU s':>8s}{'peak GB':>9s}")
    for name, those in found.items():
        every = ", ".join(f"{one['wall']:.1f}" for one in those)
        wall = f"{statistics.median(one['wall'] for one in those):.2f}  ({every})"
        cpu, peak = statistics.median(one["cpu"] for one in those), max(one["peak_gb"] for one in those)
        print(f"  {name:14s}{wall:34s}{cpu:8.1f}{peak:9.2f}  {extra.get(name, '')}  [{those[0]['versions']}]")
    ours, peer = found.values()
    for what in ("wall", "cpu"):
        ratio = statistics.median(p[what] / o[what] for o, p in zip(ours, peer, strict=True))
        print(f"  {what}, peer / ours, median of rounds: {ratio:.2f} (goal {goal:g})")


def agreement(folder: Path, k: int) -> str:
    """Whether the two sides found the same distances, and how many of the same neighbours."""
    ours, peer = np.load(folder / "ours_neighbours.npz"), np.load(folder / "faiss.npz")
    own = peer["found"] == np.arange(len(peer["found"]))[:, None]
    own[~own.any(1), -1] = True
    values, found = (peer[name][~own].reshape(-1, k) for name in ("values", "found"))
    shared = np.mean([len(set(a) & set(b)) / k for a, b in zip(ours["found"], found, strict=True)])
    return f"recall {shared:.5f}, largest difference {np.abs(ours['values'] - values).max():.1e}"


def quality(job: dict[str, Any], path: Path) -> str:
    """Trustworthiness and recall at 15 of a layout."""
    import torch

    from saewidgets.geometry.faithfulness import faithfulness
    from saewidgets.geometry.neighbors import nearest
    from saewidgets.geometry.similarity import Cosine

    measure = Cosine(torch.from_numpy(rows_of(job)))
    found = faithfulness(measure, nearest(measure, K), np.load(path)["xy"], K)
    return f"trustworthiness {found.trustworthiness:.3f}, recall {found.neighbor_recall:.3f}"


def one_feature(d: int, n: int, k: int, turns: int) -> None:
    """Milliseconds of the neighbours of one feature after another."""
    import torch

    from saewidgets.geometry.neighbors import nearest
    from saewidgets.geometry.similarity import Cosine

    noise = torch.Generator().manual_seed(0)
    measure, times = Cosine(torch.randn(n, d, generator=noise)), []
    for feature in torch.randint(n, (turns + 1,), generator=noise).tolist():
        started = time.perf_counter()
        nearest(measure, k, [feature])
        times.append(1e3 * (time.perf_counter() - started))
    low, middle, high = statistics.quantiles(times[1:], n=4)
    print(f"\none feature of {n:,} × {d}, k {k}: {middle:.1f} ms ({low:.1f} to {high:.1f}), goal 50")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=os.environ.get("FAISS_PYTHON", sys.executable), help="Python with faiss-cpu")
    parser.add_argument("--parts", nargs="+", default=["neighbours", "layout", "one"])
    parser.add_argument("--vectors", type=Path, help="a .npy file [n, d]; default: a made dictionary")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16_384, 65_536], help="of the made dictionary")
    parser.add_argument("--layout-size", type=int, default=16_384)
    parser.add_argument("--one-size", type=int, default=131_072)
    parser.add_argument("--d", type=int, default=576)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Run the rounds and print the tables."""
    given = options()
    vectors = str(given.vectors.resolve()) if given.vectors else ""
    job = {"vectors": vectors, "d": given.d, "k": K, "seed": given.seed, "threads": given.threads}
    print(f"{versions('saewidgets', 'numpy')}, {given.threads} threads, {vectors or 'made dictionary'}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in given.sizes if "neighbours" in given.parts else []:
            sides = {
                "ours": (sys.executable, "map.py", "ours_neighbours"),
                "faiss Flat": (given.peer, "map_faiss.py", "faiss"),
            }
            found = rounds({**job, "n": n}, sides, given.rounds, folder)
            table(f"all {K} nearest of {n:,} × {given.d}", found, 2, {"ours": agreement(folder, K)})
        if "layout" in given.parts:
            sides = {
                "ours": (sys.executable, "map.py", "ours_layout"),
                "umap-learn": (sys.executable, "map.py", "peer_layout"),
            }
            task = {**job, "n": given.layout_size}
            found = rounds(task, sides, given.rounds, folder)
            extra = {
                "ours": quality(task, folder / "ours_layout.npz"),
                "umap-learn": quality(task, folder / "peer_layout.npz"),
            }
            table(f"layout of {given.layout_size:,} × {given.d}, fresh process", found, 3, extra)
        if "one" in given.parts:
            one_feature(given.d, given.one_size, K, 20)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        task = json.loads(sys.argv[1])
        print(SIDES[task["side"]](task))
    else:
        main()
