"""Are neighbourhoods themed? Sheets for a blind reader: the five nearest of 30 anchors, among 30 random fives.

Writes ``sheet.csv`` (set, member, label, tokens, examples: what the reader sees; sets in random order, members too)
with an empty column ``themed`` to fill with 1 or 0 in the first row of each set, and ``key.csv`` (set, kind, anchor,
features, distances), which the reader must not see. Tokens are those the feature fires on most, as on its card;
examples are its two strongest, the token it fires on in double brackets. Then ``--score`` reads both and prints the
share of sets judged themed of each kind, and the share of anchors of whose five at least four have different first
tokens.

Run with ``python benchmarks/anchors.py FOLDER [--sae SAE --model MODEL --index INDEX] [--distance decoder]``,
by default on the demo; needs a corpus index, for labels and to leave dead features out.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SETS, MEMBERS, TOKENS = 30, 5, 8
EXAMPLES, AROUND = 2, 12
RARE = 1e-5  # features that fire on a smaller share of tokens say nothing reliable


def candidates(session: Any) -> np.ndarray:
    """Features that fire, have a label and a direction."""
    labelled = np.array([bool(label) for label in session.index.labels])
    directed = session.sae.decoder_norms().cpu().numpy() > 0
    return np.flatnonzero(labelled & directed & (np.asarray(session.index.density) >= RARE))


def sets(session: Any, distance: str, seed: int) -> list[dict[str, Any]]:
    """The neighbourhoods and the random fives, shuffled; the same for the same seed."""
    random, usable = np.random.default_rng(seed), candidates(session)
    found = []
    for anchor in random.choice(usable, SETS, replace=False).tolist():
        near = session.neighbors(anchor, k=min(200, session.sae.d_sae - 1), distance=distance)
        near = near[near.feature.isin(usable)].head(MEMBERS)
        found.append({"kind": "near", "anchor": anchor, "features": near.feature.tolist(), "distances": near.distance})
    for _ in range(SETS):
        five = random.choice(usable, MEMBERS, replace=False).tolist()
        found.append({"kind": "random", "anchor": -1, "features": five, "distances": []})
    for one in found:
        one["shown"] = random.permutation(one["features"]).tolist()
    return [found[place] for place in random.permutation(len(found))]


def fired_on(session: Any, feature: int) -> list[str]:
    """The tokens a feature fires on most, most first; those of its strongest examples where none stands out."""
    found = [token for token, *_ in session.index.distinctive(feature)]
    found += [int(example.ids[example.position]) for example in session.index.examples(feature)[:TOKENS]]
    return [session.model.tokenizer.decode([token]) for token in list(dict.fromkeys(found))[:TOKENS]]


def examples(session: Any, feature: int) -> str:
    """A few words around each of the strongest places."""
    decode, shown = session.model.tokenizer.decode, []
    for example in session.index.examples(feature)[:EXAMPLES]:
        at, ids = example.position, [int(number) for number in example.ids]
        parts = ids[max(0, at - AROUND) : at], [ids[at]], ids[at + 1 : at + 1 + AROUND // 2]
        before, token, after = (decode(part) for part in parts)
        shown.append(" ".join(f"{before}[[{token}]]{after}".split()))
    return " || ".join(shown)


def write(session: Any, folder: Path, distance: str, seed: int) -> None:
    """Both sheets."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet, key = [], []
    for number, one in enumerate(sets(session, distance, seed), 1):
        tokens = [fired_on(session, feature) for feature in one["shown"]]
        for place, (feature, own) in enumerate(zip(one["shown"], tokens, strict=True), 1):
            row = {"set": number, "member": place, "label": session.index.labels[feature]}
            told = {"tokens": " | ".join(repr(token)[1:-1] for token in own), "examples": examples(session, feature)}
            sheet.append({**row, **told, "themed": ""})
        order = dict(zip(one["shown"], tokens, strict=True))
        first = [order[feature][0].strip().lower() for feature in one["features"]]
        key.append(
            {
                "set": number,
                "kind": one["kind"],
                "anchor": one["anchor"],
                "anchor_label": session.index.labels[one["anchor"]] if one["anchor"] >= 0 else "",
                "features": " ".join(map(str, one["features"])),
                "distances": " ".join(f"{away:.3f}" for away in one["distances"]),
                "different_first_tokens": len(set(first)),
            }
        )
    pd.DataFrame(sheet).to_csv(folder / "sheet.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    pd.DataFrame(key).to_csv(folder / "key.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    print(f"{SETS} neighbourhoods and {SETS} random fives: give {folder / 'sheet.csv'} to a blind reader")


def score(folder: Path) -> None:
    """What the reader found, by kind."""
    sheet, key = pd.read_csv(folder / "sheet.csv"), pd.read_csv(folder / "key.csv")
    judged = sheet.groupby("set").themed.max()
    if judged.isna().any():
        raise SystemExit(f"sets without a verdict in column themed: {judged[judged.isna()].index.tolist()}")
    for kind, part in key.groupby("kind"):
        themed = judged[part.set]
        print(f"{kind}: {int(themed.sum())} of {len(themed)} judged themed ({themed.mean():.0%})")
    near = key[key.kind == "near"]
    print(f"neighbourhoods with at least 4 different first tokens: {(near.different_first_tokens >= 4).mean():.0%}")


def main() -> None:
    """Write the sheets, or score them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="with --sae; by default the demo")
    parser.add_argument("--sae")
    parser.add_argument("--index", help="a folder that s.scan wrote")
    parser.add_argument("--distance", default="decoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score", action="store_true", help="read the filled sheet")
    given = parser.parse_args()
    if given.score:
        return score(given.folder)
    import saewidgets as sw

    more: dict[str, Any] = {"index": given.index} if given.index else {}
    session = sw.load(given.model, sae=given.sae, **more) if given.sae else sw.demo()
    if session.index is None:
        parser.error("this session has no corpus index: pass --index, or scan one first")
    write(session, given.folder, given.distance, given.seed)


if __name__ == "__main__":
    main()
