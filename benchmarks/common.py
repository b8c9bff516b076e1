"""What every benchmark prints: versions, and medians of interleaved runs with their spread."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable


def versions(*packages: str) -> str:
    """Python, the machine's cores and package versions, in one line."""
    import os

    found = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, " + ", ".join(found)


def interleaved(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each piece of work, all pieces in turn in every round, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_number in range(rounds + 1):
        for name, run in work.items():
            started = time.perf_counter()
            run()
            if round_number:
                times[name].append(1e3 * (time.perf_counter() - started))
    return times


def spread(values: list[float]) -> str:
    """Median and the middle half."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:7.1f} ms  ({low:.1f} to {high:.1f})"
