"""Activations of the tokenised corpus on disk: fp16 shards, several layers from one pass, finished shards kept."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from saewidgets.analysis.harvest import OUTLIER
from saewidgets.demos.model import demo_model
from saewidgets.demos.recipe import precision, process
from saewidgets.lm.capture import capture_many
from saewidgets.lm.model import LanguageModel

SHARD = 512  # windows
BATCH = 16  # windows run at once
HELD_OUT = "held_out"


def harvest(
    model: LanguageModel, work: Path, group: str, hooks: Sequence[str], shards: Sequence[int] | None = None
) -> dict[str, list[Path]]:
    """Activations of the windows ``group`` of the corpus at every hook, as ``acts/<hook>/<group>_<n>.npy``.

    Rows are tokens from position 1 on; in training groups, tokens above four median norms are left out. Beside each
    shard, ``….where.npy`` says where each row stands: window · 2¹⁶ + position, int64. The group ``chats`` is the
    training part of ``chats.npz``, the others are of ``tokens.npz``. Only ``shards`` are harvested, if given.
    """
    rows, lengths = windows_of(work, group)
    count = math.ceil(len(rows) / SHARD)
    chosen = [n for n in (range(count) if shards is None else shards) if n < count]
    paths = {hook: [shard_path(work, hook, group, n) for n in chosen] for hook in hooks}
    for i, n in enumerate(tqdm(chosen, desc=f"harvest {group}", unit="shard")):
        missing = [hook for hook in hooks if not paths[hook][i].exists()]
        if missing:
            part = slice(n * SHARD, (n + 1) * SHARD)
            found = _shard(model, rows[part], lengths[part], missing, group)
            for hook, (acts, where) in found.items():
                _write(where_of(paths[hook][i]), where + (n * SHARD << 16))
                _write(paths[hook][i], acts)
    return paths


def side_by_side(work: Path, hooks: Sequence[str], shards: Sequence[tuple[str, int]], workers: int) -> None:
    """Harvest with one process a core: two of one thread do more than one of two."""
    todo = [shard for shard in shards if not all(shard_path(work, hook, *shard).exists() for hook in hooks)]
    with process.pool(workers) as pool:
        pool.starmap(_harvest, [(work, hooks, todo[worker::workers]) for worker in range(workers)])


def _harvest(work: Path, hooks: Sequence[str], shards: Sequence[tuple[str, int]]) -> None:
    torch.set_num_threads(1)
    model = demo_model()
    for group, number in shards:
        harvest(model, work, group, hooks, [number])


def windows_of(work: Path, group: str) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers uint16 ``[n, 256]`` and lengths int32 ``[n]`` of a group."""
    name, key = ("chats.npz", "train") if group == "chats" else ("tokens.npz", group)
    stored = np.load(work / name)
    return stored[key], stored[f"{key}_lengths"]


def shard_path(work: Path, hook: str, group: str, number: int) -> Path:
    """Where one shard is kept."""
    return work / "acts" / hook / f"{group}_{number:03d}.npy"


def _shard(
    model: LanguageModel, rows: np.ndarray, lengths: np.ndarray, hooks: Sequence[str], group: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    parts: dict[str, list[np.ndarray]] = {hook: [] for hook in hooks}
    places: dict[str, list[np.ndarray]] = {hook: [] for hook in hooks}
    # Windows of one length run together; padding stands behind the text, where causal attention cannot see it.
    for batch in np.array_split(np.argsort(lengths, kind="stable"), math.ceil(len(rows) / BATCH)):
        longest = int(lengths[batch].max())
        with contextlib.nullcontext() if group == HELD_OUT else precision.forward():
            found = capture_many(model, torch.from_numpy(rows[batch, :longest].astype(np.int64)), hooks)
        keep = torch.arange(longest)[None] < torch.from_numpy(lengths[batch])[:, None]
        keep[:, 0] = False  # BOS
        at = (torch.from_numpy(batch)[:, None] << 16 | torch.arange(longest))[keep].numpy()
        for hook, x in found.items():
            kept = x[keep]
            norms = kept.norm(dim=1)
            usual = norms <= (math.inf if group == HELD_OUT else OUTLIER * norms.median())
            parts[hook].append(kept[usual].half().numpy())
            places[hook].append(at[usual.numpy()])
    return {hook: (np.concatenate(parts[hook]), np.concatenate(places[hook])) for hook in hooks}


def where_of(path: Path) -> Path:
    """The file that says where the rows of a shard stand in the corpus."""
    return path.with_name(f"{path.stem}.where.npy")


def _write(path: Path, acts: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, acts)
    temporary.replace(path)


class Shards:
    """Shards on disk as a `Source` for training, for ever: in the order given at first, shuffled in later rounds.

    The corpus is shuffled by window, so the first round needs no other order, and can begin while other processes
    still harvest: with ``wait`` it waits for a shard that is not there yet.
    """

    def __init__(self, paths: Sequence[Path], rows: int = 8192, wait: bool = False) -> None:
        self.paths, self.rows, self.wait = list(paths), rows, wait
        self._round = self._shard = self._row = 0
        self._order = self._shuffled()

    @property
    def tokens(self) -> int:
        """Rows in one round."""
        return sum(len(np.load(path, mmap_mode="r")) for path in self.paths)

    def read(self) -> Tensor:
        """The next rows, fp16 ``[n, d_in]``."""
        path = self.paths[self._order[self._shard]]
        while self.wait and not path.exists():
            time.sleep(1)
        acts = np.load(path, mmap_mode="r")
        found = torch.from_numpy(np.array(acts[self._row : self._row + self.rows]))
        self._row += len(found)
        if self._row >= len(acts):
            self._shard, self._row = self._shard + 1, 0
        if self._shard == len(self.paths):
            self._shard, self._round = 0, self._round + 1
            self._order = self._shuffled()
        return found

    def place(self) -> dict[str, Any]:
        """Round, shard and row."""
        return {"round": self._round, "shard": self._shard, "row": self._row}

    def go_to(self, place: dict[str, Any]) -> None:
        """Continue from a `place`."""
        self._round, self._shard, self._row = place["round"], place["shard"], place["row"]
        self._order = self._shuffled()

    def _shuffled(self) -> np.ndarray:
        count = len(self.paths)
        return np.random.default_rng(self._round).permutation(count) if self._round else np.arange(count)
