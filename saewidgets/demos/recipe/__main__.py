"""``python -m saewidgets.demos.recipe [--work FOLDER]``: rebuild the demo SAE from public packages, resumably."""

from __future__ import annotations

import argparse
from pathlib import Path

from saewidgets.demos.model import demo_model
from saewidgets.demos.recipe import corpus, generate, harvest, layers, ship, train

LAYER = 10
D_SAE, K = 16_384, 46
TOKENS = 16_000_000


def main() -> None:
    """Every step leaves files in the work folder and is skipped when they are whole."""
    parser = argparse.ArgumentParser(prog="python -m saewidgets.demos.recipe", description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/recipe"), help="where intermediate files are kept")
    parser.add_argument("--chats", type=int, default=2000, help="how many chats the model writes itself")
    parser.add_argument("--shards", type=int, default=None, help="how many shards of 512 windows to train on (all)")
    parser.add_argument("--compare", action="store_true", help="first compare layers at equal budget (hours)")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = demo_model()
    generate.generate(model, given.work / "selfgen.jsonl", given.chats)
    corpus.build(given.work, model.tokenizer)
    if given.compare:
        layers.compare(model, given.work)
    hook = f"blocks.{LAYER}.hook_resid_post"
    held_out = harvest.harvest(model, given.work, "held_out", [hook])[hook]
    paths = harvest.harvest(model, given.work, "train", [hook], given.shards)[hook]
    sae = train.train(paths, given.work / "trained", hook_name=hook, d_sae=D_SAE, k=K, tokens=TOKENS)
    about = {"distinct_training_tokens": harvest.Shards(paths).tokens}
    ship.ship(model, sae, given.work, paths, held_out, about)


if __name__ == "__main__":
    main()
