"""The demo's corpus index: statistics from the activations on disk, so that the model runs for the neurons only.

``python -m saewidgets.demos.recipe.index [--work FOLDER]``, once the SAE is shipped; about as long as it takes to
encode two million tokens. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from saewidgets.analysis.meaning import add_meaning
from saewidgets.demos import DATA
from saewidgets.demos.model import demo_model
from saewidgets.demos.recipe.corpus import shippable
from saewidgets.demos.recipe.harvest import SHARD, where_of
from saewidgets.index import store
from saewidgets.index.corpus import PLACE, Shard
from saewidgets.index.fingerprint import fingerprint
from saewidgets.index.index import Index
from saewidgets.index.reader import StoredReader
from saewidgets.index.scan import local, scan
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder

TOKENS = 2_100_000
PER_INTERVAL, SAMPLE_TOKENS = 3, 20_000
SHOWN = 5_500  # windows examples may come from
LIMIT, MEANING = 20_000_000, 3_000_000  # bytes of all files, and of what the weights add to the scan's
TRAIN, CHATS = "train", "chats"
GROUPS = (CHATS, TRAIN)  # of the harvest, in this order


def build(
    model: LanguageModel, sae: SparseAutoencoder, work: Path, folder: Path = DATA / "index", tokens: int = TOKENS
) -> Path:
    """Index the first ``tokens`` harvested training tokens into ``folder``; examples only from what may be shipped.

    Args:
        model: the demo model.
        sae: the shipped SAE, as it is loaded by `saewidgets.demo`.
        work: the recipe's folder, with ``tokens.npz``, ``chats.npz``, ``counts.json`` and ``acts/``.
        folder: where the index goes.
        tokens: how many tokens to index at least.

    Raises:
        FileNotFoundError: when no activations of the SAE's hook are on disk.
        ValueError: when the index is over 20 MB.
    """
    paths = harvested(work, sae.hook_name, tokens)
    scratch = work / "index" / sae.hash()
    about = {**fingerprint(model, sae, sae.hook_name, True), "seed": 0, "context_size": "harvested"}

    def rows(shard: Shard) -> tuple[np.ndarray, np.ndarray]:
        path = paths[shard.number]
        moved = shard.first - number_of(path) * SHARD  # windows are numbered anew, group behind group
        return np.load(where_of(path)) + (moved << PLACE), np.load(path, mmap_mode="r")

    scan(
        local(StoredReader(sae, rows)),
        corpus_shards(work, paths),
        scratch,
        about,
        per_interval=PER_INTERVAL,
        sample_tokens=SAMPLE_TOKENS,
        most_bytes=LIMIT - MEANING,
    )
    name_sources(scratch, work, paths)
    add_meaning(scratch, model, sae, sae.hook_name)
    ship(scratch, folder)
    return folder


def harvested(work: Path, hook_name: str, tokens: int) -> list[Path]:
    """The model's own chats, then the first shards of training activations, until they hold ``tokens`` rows."""
    folder = work / "acts" / hook_name
    found: list[Path] = []
    rows = 0
    for group in GROUPS:
        # Beside each shard lies its .where.npy, and perhaps an unfinished one's .tmp.npy.
        paths = [path for path in sorted(folder.glob(f"{group}_[0-9]*.npy")) if path.name.count(".") == 1]
        for number, path in enumerate(paths):
            if rows < tokens and number_of(path) != number:
                raise FileNotFoundError(f"a shard before {path} is missing: run the recipe's harvest again")
            found += [path] if rows < tokens else []
            rows += len(np.load(path, mmap_mode="r"))
    if not found:
        raise FileNotFoundError(f"no activations of {hook_name} in {folder}: run the recipe's harvest first")
    return found


def number_of(path: Path) -> int:
    """The number of a harvested shard within its group."""
    return int(path.stem.rpartition("_")[2])


def corpus_shards(work: Path, paths: Sequence[Path]) -> Iterator[Shard]:
    """The windows of each harvested shard, numbered through; the first 5,500 that may be shipped are shown."""
    first, left = 0, SHOWN
    for number, (group, part) in enumerate(_parts(work, paths)):
        pairs = zip(group.rows[part], group.lengths[part], strict=True)
        windows = tuple(row[:length].astype(np.int32) for row, length in pairs)
        shown = group.allowed[part] & (np.cumsum(group.allowed[part]) <= left)
        yield Shard(number, first, windows, shown)
        first, left = first + len(windows), left - int(shown.sum())


def name_sources(scratch: Path, work: Path, paths: Sequence[Path]) -> None:
    """Note for every window shown which source it is from, by name and licence."""
    numbers, _ = Index(scratch).windows()
    sources = [group.names[at] for group, part in _parts(work, paths) for at in group.source[part]]
    names = sorted({sources[number] for number in numbers})
    source = np.array([names.index(sources[number]) for number in numbers], np.uint8)
    store.write_files(scratch, {"sources.safetensors": store.pack({"source": source})}, {"sources": names})


class _Group:
    """The windows of ``tokens.npz`` or ``chats.npz`` that were harvested for training, and where each is from."""

    def __init__(self, work: Path, group: str) -> None:
        stored = np.load(work / ("chats.npz" if group == CHATS else "tokens.npz"))
        self.rows, self.lengths = stored[TRAIN], stored[f"{TRAIN}_lengths"]
        if group == CHATS:
            self.names = ["written by the model itself"]
            self.source, self.allowed = np.zeros(len(self.rows), np.uint8), np.ones(len(self.rows), bool)
            return
        listed = json.loads((work / "counts.json").read_text())["sources"]
        self.names = [f"{about['name']} ({about['license']})" for about in listed]
        self.source, self.allowed = stored[f"{TRAIN}_source"], shippable(work, TRAIN)


def _parts(work: Path, paths: Sequence[Path]) -> Iterator[tuple[_Group, slice]]:
    """Of each harvested shard, its group and which of the group's windows it holds."""
    groups: dict[str, _Group] = {}
    for path in paths:
        name, number = path.stem.rpartition("_")[0], number_of(path)
        if name not in groups:
            groups[name] = _Group(work, name)
        yield groups[name], slice(number * SHARD, (number + 1) * SHARD)


def ship(scratch: Path, folder: Path) -> None:
    """Copy a finished index to where it is shipped, in place of an older one.

    Raises:
        ValueError: when it is too large.
    """
    index = Index(scratch)
    size = sum(path.stat().st_size for path in scratch.iterdir() if path.is_file())
    if size > LIMIT:
        raise ValueError(f"the index has {size:,} bytes, over {LIMIT:,}: show fewer windows or examples")
    store.verify(scratch)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in (*index.about["files"], store.MANIFEST):
        shutil.copyfile(scratch / name, folder / name)
    print(f"{folder}: {index!r}, {size / 1e6:.1f} MB, {int((index.counts > 0).sum()):,} features fire")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the index of the shipped SAE."""
    parser = argparse.ArgumentParser(prog="python -m saewidgets.demos.recipe.index", description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/recipe"), help="where intermediate files are kept")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="how many tokens to index at least")
    given = parser.parse_args(arguments)
    folder = build(demo_model(), files.load(DATA / "sae"), given.work, tokens=given.tokens)
    raise_maxima(folder, DATA / "maxima.npy")


def raise_maxima(folder: Path, path: Path) -> None:
    """The largest activations seen at all: what an index saw beside what was seen when the SAE was shipped."""
    np.save(path, np.maximum(np.load(path), Index(folder).maximum.astype(np.float32)))


if __name__ == "__main__":
    main()
