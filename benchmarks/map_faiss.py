"""faiss' side of ``map.py``: numpy and faiss alone, so that it can run in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time
from typing import Any

import numpy as np


def dictionary(n: int, d: int, seed: int) -> np.ndarray:
    """Unit rows in groups of 8, of cosine about 0.5 with their group's direction: float32 ``[n, d]``."""
    noise = np.random.default_rng(seed)
    centres = noise.standard_normal((n // 8 + 1, d), np.float32)
    rows = centres[noise.integers(0, len(centres), n)] + 1.7 * noise.standard_normal((n, d), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rows_of(job: dict[str, Any]) -> np.ndarray:
    """What both sides work on."""
    if job["vectors"]:
        x = np.load(job["vectors"]).astype(np.float32)
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return dictionary(job["n"], job["d"], job["seed"])


def report(wall: float, cpu: float, **more: Any) -> str:
    """One side's result, as the last line it prints."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return json.dumps({"wall": wall, "cpu": cpu, "peak_gb": peak, **more})


def main(job: dict[str, Any]) -> str:
    """All ``k`` nearest of all rows, IndexFlatIP; the build of the index counts."""
    import faiss  # pyright: ignore[reportMissingImports]

    faiss.omp_set_num_threads(job["threads"])
    x = rows_of(job)
    wall, cpu = time.perf_counter(), time.process_time()
    index = faiss.IndexFlatIP(x.shape[1])
    index.add(x)  # type: ignore[call-arg]
    values, found = index.search(x, job["k"] + 1)  # type: ignore[call-arg]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(job["out"], values=values, found=found)
    return report(wall, cpu, versions=f"faiss-cpu {importlib.metadata.version('faiss-cpu')}")


if __name__ == "__main__":
    print(main(json.loads(sys.argv[1])))
