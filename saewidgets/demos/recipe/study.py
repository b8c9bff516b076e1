"""Can a reader name the demo SAE's features? Sheets for one reader who names and one, blind, who sorts; and the score.

Protocol: features are the first live ones of ``numpy.random.default_rng(0).permutation(d_sae)``. The namer sees each
one's strongest examples. The sorter sees only the name and ten other snippets in a shuffled order: five on which the
feature fires, and five on which its nearest decoder neighbour fires and the feature does not.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from saewidgets.demos.recipe.harvest import where_of
from saewidgets.sae.autoencoder import SparseAutoencoder

SHOWN, SORTED = 12, 5
STRONG = 0.5  # held-out firing snippets have at least this share of the strongest activation shown
BEFORE, AFTER = 28, 8  # tokens of context


class Firings(NamedTuple):
    """Where one feature fires, strongest first."""

    values: np.ndarray
    where: np.ndarray


@torch.inference_mode()
def firings(
    sae: SparseAutoencoder, paths: Iterable[Path], features: Sequence[int], allowed: np.ndarray
) -> dict[int, Firings]:
    """Every activation of ``features`` over harvested shards, in windows where ``allowed`` (bool ``[n windows]``)."""
    columns = torch.tensor(list(features))
    parts: list[tuple[np.ndarray, ...]] = []  # few and large: many small ones would scatter over all of the memory
    for path in paths:
        acts, where = np.load(path, mmap_mode="r"), np.load(where_of(path))
        for start in range(0, len(acts), 8192):
            at = where[start : start + 8192]
            values = sae.feature_acts(torch.from_numpy(np.array(acts[start : start + 8192])).float(), columns).numpy()
            values[~allowed[at >> 16]] = 0
            row, column = np.nonzero(values)
            parts.append((column, values[row, column], at[row]))
    column, value, where = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((where, -value, column))
    ends = np.searchsorted(column[order], np.arange(len(columns) + 1))
    return {
        int(feature): Firings(value[order[start:end]], where[order[start:end]])
        for feature, start, end in zip(features, ends[:-1], ends[1:], strict=True)
    }


def nearest(sae: SparseAutoencoder, feature: int) -> int:
    """The feature whose decoder direction has the largest cosine with ``feature``'s."""
    directions = sae.W_dec / sae.W_dec.norm(dim=1, keepdim=True)
    cosine = directions @ directions[feature]
    cosine[feature] = -2
    return int(cosine.argmax())


def snippet(tokenizer: Any, window: np.ndarray, position: int) -> str:
    """The text around a token, the token itself in «»; special tokens are left out."""
    end = position + 1 + AFTER  # padding is token 0, which decoding leaves out as special
    before, token, after = (
        tokenizer.decode(part, skip_special_tokens=True)
        for part in (
            window[max(1, position - BEFORE) : position],
            window[position : position + 1],
            window[position + 1 : end],
        )
    )
    return f"{before}«{token}»{after}".replace("\n", "⏎")


def distinct(firing: Firings, count: int, skip: Collection[int] = ()) -> list[int]:
    """The strongest ``count`` places, no two in one window, none in a window of ``skip``."""
    chosen: list[int] = []
    windows = set(skip)
    for place in firing.where.tolist():
        if len(chosen) == count:
            break
        if place >> 16 not in windows:
            windows.add(place >> 16)
            chosen.append(place)
    return chosen


def sheets(
    sae: SparseAutoencoder,
    tokenizer: Any,
    paths: Sequence[Path],
    windows: np.ndarray,
    allowed: np.ndarray,
    folder: Path,
    count: int = 60,
) -> list[int]:
    """Write ``to_name.csv``, ``to_sort.csv`` and the sorter's ``key.csv``; returns the features."""
    order = np.random.default_rng(0).permutation(sae.d_sae)[: 3 * count].tolist()
    near = {feature: nearest(sae, feature) for feature in order}
    found = firings(sae, paths, sorted({*order, *near.values()}), allowed)
    live = [feature for feature in order if len(found[feature].values)][:count]
    rng = np.random.default_rng(1)
    to_name, to_sort = [], []
    for feature in live:
        mine, other = found[feature], found[near[feature]]
        shown = distinct(mine, SHOWN)
        seen = {place >> 16 for place in shown}
        fires = set(mine.where.tolist())
        strong = distinct(_shuffled(mine, rng, STRONG), SORTED, seen)
        if len(strong) < SORTED:  # a rare feature: weaker firings will do
            strong = distinct(_shuffled(mine, rng, 0.0), SORTED, seen)
        apart = np.array([place not in fires for place in other.where.tolist()], bool)
        rest = Firings(other.values[apart], other.where[apart])
        weak = distinct(_shuffled(rest, rng, STRONG), SORTED, seen | {place >> 16 for place in strong})
        to_name += [(feature, _text(tokenizer, windows, place)) for place in shown]
        both = [(place, 1) for place in strong] + [(place, 0) for place in weak]
        to_sort += [
            (feature, i, _text(tokenizer, windows, both[j][0]), both[j][1])
            for i, j in enumerate(rng.permutation(len(both)))
        ]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "to_name.csv", ("feature", "example"), to_name)
    _write(folder / "to_sort.csv", ("feature", "snippet", "text"), [row[:3] for row in to_sort])
    _write(folder / "key.csv", ("feature", "snippet", "fires"), [(row[0], row[1], row[3]) for row in to_sort])
    return live


def score(folder: Path) -> dict[str, float]:
    """Join ``names.csv`` (feature, name, kind) and ``sorted.csv`` (feature, snippet, fires) with the key.

    ``verdicts.csv`` gets a row a feature: name, kind, right (of ten); ``snippets.csv`` every text, truth and answer.
    """
    names = {int(row["feature"]): row for row in _read(folder / "names.csv")}
    answers = {(int(r["feature"]), int(r["snippet"])): int(r["fires"]) for r in _read(folder / "sorted.csv")}
    texts = {(int(r["feature"]), int(r["snippet"])): r["text"] for r in _read(folder / "to_sort.csv")}
    key = {(int(r["feature"]), int(r["snippet"])): int(r["fires"]) for r in _read(folder / "key.csv")}
    right = dict.fromkeys(names, 0)
    for place, truth in key.items():
        right[place[0]] += answers.get(place) == truth
    rows = [(f, row["name"], row["kind"], right[f]) for f, row in names.items()]
    _write(folder / "verdicts.csv", ("feature", "name", "kind", "right_of_10"), rows)
    detail = [(f, i, texts[f, i], truth, answers.get((f, i), "")) for (f, i), truth in key.items()]
    _write(folder / "snippets.csv", ("feature", "snippet", "text", "fires", "answer"), detail)
    return {
        "features": len(rows),
        "at_least_8_of_10": sum(n >= 8 for n in right.values()) / len(rows),
        "more_than_a_token_string": sum(row["kind"] != "token" for row in names.values()) / len(rows),
    }


def _shuffled(firing: Firings, rng: np.random.Generator, share: float) -> Firings:
    """Places of at least ``share`` of the strongest value, in random order, all of value 1."""
    if not len(firing.values):
        return firing
    places = firing.where[firing.values >= share * firing.values[0]]
    return Firings(np.ones(len(places)), rng.permutation(places))


def _text(tokenizer: Any, windows: np.ndarray, place: int) -> str:
    return snippet(tokenizer, windows[place >> 16], place & 0xFFFF)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
