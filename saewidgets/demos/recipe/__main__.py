"""``python -m saewidgets.demos.recipe [--work FOLDER]``: rebuild the demo SAE from public packages, resumably."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from saewidgets.demos.model import demo_model
from saewidgets.demos.recipe import corpus, generate, harvest, layers, precision, ship, train

LAYER = 10
D_SAE, K = 16_384, 45
BATCH, LR = 1024, 1.8e-3  # of those tried on 0.2 to 0.5M tokens: 4e-4 to 5e-3, batches of 1,024 and 2,048


def main() -> None:
    """Every step leaves files in the work folder and is skipped when they are whole."""
    parser = argparse.ArgumentParser(prog="python -m saewidgets.demos.recipe", description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/recipe"), help="where intermediate files are kept")
    parser.add_argument("--chats", type=int, default=640, help="how many chats the model writes itself")
    parser.add_argument("--shards", type=int, default=None, help="how many shards of 512 windows to train on (all)")
    parser.add_argument("--tokens", type=int, default=None, help="how many tokens to learn from (each once)")
    parser.add_argument("--workers", type=int, default=2, help="processes that harvest, a core each")
    parser.add_argument("--compare", action="store_true", help="first compare layers at equal budget (hours)")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = demo_model()
    generate.generate(model, given.work / "selfgen.jsonl", given.chats)
    corpus.build(given.work, model.tokenizer)
    if given.compare:
        layers.compare(model, given.work, workers=given.workers)
    hook = f"blocks.{LAYER}.hook_resid_post"
    held_out = harvest.harvest(model, given.work, "held_out", [hook])[hook]
    shards = shards_of(given.work, given.shards)
    harvest.side_by_side(given.work, [hook], shards, given.workers)
    paths = [harvest.shard_path(given.work, hook, group, n) for group, n in shards]
    source = harvest.Shards(paths)
    tokens = given.tokens or source.tokens
    size = {"d_sae": D_SAE, "k": K, "lr": LR, "batch_size": BATCH}
    sae = train.train(source, given.work / "trained", hook_name=hook, tokens=tokens, **size)
    about = {
        "distinct_training_tokens": min(tokens, source.tokens),
        "products": "bfloat16" if precision.fast() else "float32",
    }
    ship.ship(model, sae, given.work, paths, held_out, about)


def shards_of(work: Path, count: int | None = None) -> list[tuple[str, int]]:
    """(group, number) of the shards to train on: those of the corpus, the chats' spread evenly among them."""
    sizes = {group: math.ceil(len(harvest.windows_of(work, group)[0]) / harvest.SHARD) for group in ("train", "chats")}
    count = min(count or sizes["train"], sizes["train"])
    places = [(number / count, "train", number) for number in range(count)]
    places += [((number + 0.5) / sizes["chats"], "chats", number) for number in range(sizes["chats"])]
    return [(group, number) for _, group, number in sorted(places)]


if __name__ == "__main__":
    main()
