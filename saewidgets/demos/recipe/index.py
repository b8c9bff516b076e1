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
from saewidgets.index.corpus import Shard, shards
from saewidgets.index.fingerprint import fingerprint
from saewidgets.index.index import Index
from saewidgets.index.reader import StoredReader
from saewidgets.index.scan import local, scan
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder

TOKENS = 2_100_000
PER_INTERVAL, SAMPLE_TOKENS = 2, 24_000
SHOWN = 6_000  # windows examples may come from: what fits into 20 MB
LIMIT = 20_000_000  # bytes
TRAIN = "train"


def build(
    model: LanguageModel, sae: SparseAutoencoder, work: Path, folder: Path = DATA / "index", tokens: int = TOKENS
) -> Path:
    """Index the first ``tokens`` harvested training tokens into ``folder``; examples only from what may be shipped.

    Args:
        model: the demo model.
        sae: the shipped SAE, as it is loaded by `saewidgets.demo`.
        work: the recipe's folder, with ``tokens.npz``, ``counts.json`` and ``acts/``.
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
        return np.load(where_of(path)), np.load(path, mmap_mode="r")

    scan(
        local(StoredReader(sae, rows)),
        corpus_shards(work, len(paths)),
        scratch,
        about,
        per_interval=PER_INTERVAL,
        sample_tokens=SAMPLE_TOKENS,
    )
    name_sources(scratch, work)
    add_meaning(scratch, model, sae, sae.hook_name)
    ship(scratch, folder)
    return folder


def harvested(work: Path, hook_name: str, tokens: int) -> list[Path]:
    """The first shards of training activations at a hook that hold ``tokens`` rows, or all there are."""
    found: list[Path] = []
    rows = 0
    for path in sorted((work / "acts" / hook_name).glob(f"{TRAIN}_[0-9]*.npy")):
        if path.name.count(".") == 1 and rows < tokens:  # not the .where.npy beside it
            found.append(path)
            rows += len(np.load(path, mmap_mode="r"))
    if not found:
        raise FileNotFoundError(f"no activations of {hook_name} in {work / 'acts'}: run the recipe's harvest first")
    wrong = [path for number, path in enumerate(found) if path.name != f"{TRAIN}_{number:03d}.npy"]
    if wrong:
        raise FileNotFoundError(f"a shard before {wrong[0]} is missing: run the recipe's harvest again")
    return found


def corpus_shards(work: Path, n_shards: int) -> Iterator[Shard]:
    """The windows of ``tokens.npz`` as they were harvested; the first 6,000 that may be shipped are shown."""
    stored = np.load(work / "tokens.npz")
    rows, lengths = stored[TRAIN][: n_shards * SHARD], stored[f"{TRAIN}_lengths"]
    allowed = shippable(work, TRAIN)[: len(rows)]
    shown = allowed & (np.cumsum(allowed) <= SHOWN)
    windows = (row[:length].astype(np.int32) for row, length in zip(rows, lengths, strict=False))
    return shards(windows, shown.tolist(), SHARD)


def name_sources(scratch: Path, work: Path) -> None:
    """Note for every window shown which source it is from, by name and licence."""
    listed = json.loads((work / "counts.json").read_text())["sources"]
    numbers, _ = Index(scratch).windows()
    source = np.load(work / "tokens.npz")[f"{TRAIN}_source"][numbers].astype(np.uint8)
    names = [f"{about['name']} ({about['license']})" for about in listed]
    store.write_files(scratch, {"sources.safetensors": store.pack({"source": source})}, {"sources": names})


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
    build(demo_model(), files.load(DATA / "sae"), given.work, tokens=given.tokens)


if __name__ == "__main__":
    main()
