"""The pass over a corpus: shard after shard, each kept when it is done, here or on any executor."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Any

import numpy as np

from saewidgets.index import store
from saewidgets.index.corpus import Shard
from saewidgets.index.finish import PER_INTERVAL, finish
from saewidgets.index.merge import Merged
from saewidgets.index.reader import Reader
from saewidgets.index.selection import Bars
from saewidgets.index.summary import SAMPLE, Summary, summarise
from saewidgets.lm.worker import go_on

IN_FLIGHT = 16  # shards handed to an executor at once
BEGUN = "scan.json"
METHOD = 2  # of the statistics and of what is kept of a shard; one by another method is not continued

Work = Callable[[Shard, Bars | None], dict[str, np.ndarray]]
"""Reads a shard and gives its summary as arrays."""


def scan(
    work: Work,
    shards: Iterable[Shard],
    folder: Path,
    about: Mapping[str, Any],
    *,
    executor: Executor | None = None,
    per_interval: int = PER_INTERVAL,
    sample_tokens: int | None = None,
    most_bytes: int | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Write the statistics of a corpus into ``folder``, continuing a scan that was begun there with the same inputs.

    The result is the same, bit for bit, however often the scan was stopped or killed and on however many workers it
    ran, as long as they are of one kind.

    Args:
        work: what reads a shard: `local` of a reader, or a function that an executor can send away.
        shards: the corpus.
        folder: where the index will be.
        about: what the numbers depend on: a `fingerprint`, ``seed``, and how the corpus was cut.
        executor: any `concurrent.futures.Executor`; None reads here.
        per_interval: examples kept of each interval; fewer where the files would be over ``most_bytes``.
        sample_tokens: tokens kept for co-activation, at most `SAMPLE`, which is the default.
        most_bytes: size of all files together; any by default.
        stop: set it to end the scan; finished shards are kept.

    Raises:
        ValueError: when the folder holds an index or a begun scan of other inputs, another corpus or an older version,
            or the files are too large; then shards are kept, too.
        OSError: when it cannot be written; finished shards are kept.
        Stopped: when ``stop`` was set.
    """
    about = {**about, "method": METHOD, "per_interval": per_interval, "sample_tokens": sample_tokens or SAMPLE}
    if (folder / store.MANIFEST).exists():
        _require_same(store.read_manifest(folder), about, folder, "an index")
        _require_corpus(store.read_manifest(folder)["corpus"], shards, folder)
        return folder
    _begin(folder, about)
    kept = _Kept(folder, about)
    if executor is not None:
        _distribute(work, kept.missing(shards), kept, executor, stop)
        # Handed out in any order; joined in theirs, for the sums.
        for number in sorted(kept.paths):
            go_on(stop)
            kept.join(store.mapped(kept.paths[number]))
    else:
        for shard in kept.all(shards):
            go_on(stop)
            arrays = kept.read(shard)
            if arrays is None:
                arrays = kept.commit(shard, work(shard, kept.merged.bars))
            kept.join(arrays)
    _require_tokens(kept.merged)
    for count in range(per_interval, -1, -1):
        arrays = finish(kept.merged, kept.windows, count, sample_tokens)
        files = {f"{name}.safetensors": store.pack(part) for name, part in arrays.items()}
        if most_bytes is None or sum(map(len, files.values())) <= most_bytes:
            kept.close(files)
            return folder
    raise ValueError(f"the index is over {most_bytes:,} bytes with the strongest examples alone: show fewer windows")


def local(reader: Reader, seed: int = 0, stop: threading.Event | None = None) -> Work:
    """Read shards in this thread."""

    def work(shard: Shard, bars: Bars | None) -> dict[str, np.ndarray]:
        return summarise(shard, reader.read(shard, stop), bars, seed).arrays()

    return work


class _Kept:
    """Finished shards on disk, and what they add up to."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder, self.about = folder, about
        self.paths = store.shards_in(folder)
        self.merged = Merged(about["d_sae"], about["vocab"], about["seed"])
        self._firsts: list[int] = []
        self._numbers: list[int] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._n_windows = 0

    def all(self, shards: Iterable[Shard]) -> Iterator[Shard]:
        """Every shard, noted as it passes."""
        from tqdm.auto import tqdm

        with tqdm(desc="scan", unit="tok", unit_scale=True) as bar:
            for shard in shards:
                self._firsts.append(shard.first)
                self._numbers.append(shard.number)
                self._n_windows += len(shard.windows)
                self._digest.update(shard.digest.encode())
                yield shard
                bar.update(sum(map(len, shard.windows)))
        # Left behind by a longer corpus, of which this one is the beginning.
        self.paths = {number: path for number, path in self.paths.items() if number < len(self._numbers)}

    def missing(self, shards: Iterable[Shard]) -> Iterator[Shard]:
        """Shards that are not on disk yet."""
        return (shard for shard in self.all(shards) if self.read(shard) is None)

    def read(self, shard: Shard) -> dict[str, np.ndarray] | None:
        """What is on disk of a shard, or None.

        Raises:
            ValueError: when it is of other text.
        """
        path = self.paths.get(shard.number)
        arrays = store.read_shard(path) if path else None
        if arrays is not None and arrays["digest"].tobytes().decode() != shard.digest:
            raise ValueError(_other_texts(self.folder))
        return arrays

    def commit(self, shard: Shard, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Keep a finished shard, with its text."""
        whole = {
            **arrays,
            "digest": np.frombuffer(shard.digest.encode(), np.uint8),
            "window_tokens": np.concatenate(shard.windows),
            "window_start": np.cumsum([0, *map(len, shard.windows)]),
        }
        store.commit_shard(self.folder, shard.number, whole)
        self.paths[shard.number] = store.shards_in(self.folder)[shard.number]
        return whole

    def join(self, arrays: dict[str, np.ndarray]) -> None:
        """Add a shard to the result."""
        self.merged.add(Summary.from_arrays(arrays))

    def windows(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Token numbers of windows, by their rising numbers."""
        found = []
        at = np.searchsorted(self._firsts, numbers, side="right") - 1
        for place in np.unique(at):
            arrays = store.mapped(self.paths[self._numbers[place]])
            start = arrays["window_start"]
            for window in numbers[at == place] - self._firsts[place]:
                found.append(np.array(arrays["window_tokens"][start[window] : start[window + 1]]))
        return found

    def close(self, files: Mapping[str, bytes]) -> None:
        """Write the index; then the shards are no longer needed."""
        known = {
            **self.about,
            "corpus": self._digest.hexdigest(),
            "n_tokens": self.merged.n_tokens,
            "n_windows": self._n_windows,
        }
        store.write_files(self.folder, files, known)
        shutil.rmtree(self.folder / "shards", ignore_errors=True)
        (self.folder / BEGUN).unlink(missing_ok=True)


def _distribute(
    work: Work, missing: Iterable[Shard], kept: _Kept, executor: Executor, stop: threading.Event | None
) -> None:
    running: dict[Future[dict[str, np.ndarray]], Shard] = {}
    try:
        for shard in missing:
            # Without bars: they would hold every shard back until the one before it is done.
            running[executor.submit(work, shard, None)] = shard
            while len(running) >= IN_FLIGHT:
                _collect(running, kept, stop)
        while running:
            _collect(running, kept, stop)
    finally:
        for future in running:
            future.cancel()


def _collect(running: dict[Future[dict[str, np.ndarray]], Shard], kept: _Kept, stop: threading.Event | None) -> None:
    done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
    go_on(stop)
    for future in done:
        kept.commit(running.pop(future), future.result())


def _begin(folder: Path, about: Mapping[str, Any]) -> None:
    path = folder / BEGUN
    begun = None
    with contextlib.suppress(OSError, ValueError):
        begun = json.loads(path.read_bytes())
    if begun is not None:
        _require_same(begun, about, folder, "a scan begun")
    elif store.shards_in(folder):
        raise ValueError(f"{folder} holds shards of a scan, but no readable {BEGUN}: delete the folder and scan again")
    store.write(path, json.dumps(dict(about)).encode())


def _require_same(found: Mapping[str, Any], about: Mapping[str, Any], folder: Path, what: str) -> None:
    if found.get("method") != about["method"]:
        raise ValueError(
            f"{folder} holds {what} by a version of saewidgets that computed statistics by method "
            f"{found.get('method', 1)}, this one has method {about['method']}: choose another path, or delete the "
            "folder and scan again"
        )
    for key, mine in about.items():
        if key not in ("versions", "model", "sae") and found.get(key) != mine:
            raise ValueError(
                f"{folder} holds {what} with {key} {found.get(key)}, but now it is {mine}: choose another path, "
                "or delete the folder"
            )


def _require_corpus(digest: str, shards: Iterable[Shard], folder: Path) -> None:
    found = hashlib.blake2b(digest_size=16)
    for shard in shards:
        found.update(shard.digest.encode())
    if found.hexdigest() != digest:
        raise ValueError(_other_texts(folder))


def _other_texts(folder: Path) -> str:
    return f"the texts are not those that {folder} was scanned from: choose another path, or delete the folder"


def _require_tokens(merged: Merged) -> None:
    if not merged.n_tokens:
        raise ValueError("the corpus holds no token to count: every text is a single BOS or sink; give longer texts")
