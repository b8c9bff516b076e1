"""``python -m saewidgets.demos.recipe [--work FOLDER]``: rebuild the demo SAE from public packages, resumably."""

from __future__ import annotations

import argparse
from pathlib import Path

from saewidgets.demos.model import demo_model
from saewidgets.demos.recipe import corpus, generate, train


def main() -> None:
    """Every step leaves files in the work folder and is skipped when they are whole."""
    parser = argparse.ArgumentParser(prog="python -m saewidgets.demos.recipe", description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/recipe"), help="where intermediate files are kept")
    parser.add_argument("--chats", type=int, default=1040, help="how many chats the model writes itself")
    parser.add_argument("--shards", type=int, default=9, help="how many shards of 512 windows to train on")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = demo_model()
    generate.generate(model, given.work / "selfgen.jsonl", given.chats)
    corpus.build(given.work, model.tokenizer)
    train.train(model, given.work, given.shards)


if __name__ == "__main__":
    main()
