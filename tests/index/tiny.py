"""``python -m``-able: scans the texts of the tests in a process that can be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from saewidgets.index import scan
from saewidgets.index.corpus import Shard, shards, text_windows
from saewidgets.index.fingerprint import fingerprint
from saewidgets.index.reader import ModelReader
from saewidgets.lm.load import load_model
from saewidgets.sae import files

HOOK = "blocks.2.hook_resid_post"
TEXTS = [f"Text {i}: the bridge over the river is {'very ' * (i % 7)}old, and the ferry is late." for i in range(48)]


def main(model_folder: str, sae_folder: str, folder: str) -> None:
    """Scan eight shards, saying when each begins."""
    model, sae = load_model(model_folder), files.load(sae_folder)
    work = scan.local(ModelReader(model, sae, HOOK))

    def telling(shard: Shard, bars: object) -> dict:
        print("begin", shard.number, flush=True)
        return work(shard, bars)  # type: ignore[arg-type]

    about = {**fingerprint(model, sae, HOOK, True), "seed": 0, "context_size": 24}
    scan.scan(telling, shards(text_windows(model, TEXTS, context_size=24), size=12), Path(folder), about)


if __name__ == "__main__":
    main(*sys.argv[1:])
