"""Processes for long work, whose C library keeps freed memory instead of handing it back after every batch."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.pool import Pool

# For glibc. Activations and gradients are tens of megabytes, made and freed in every batch; asked of the system each
# time, they come page by page, filled with zeros: 15 % of a harvest's time, a third of the training's.
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_ARENA_MAX": "1"}


def pool(workers: int) -> Pool:
    """New processes, which share nothing with this one."""
    os.environ |= KEPT
    return multiprocessing.get_context("spawn").Pool(workers)
