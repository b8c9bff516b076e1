"""The nameability study: sheets hold what they claim, the sorter's sheet gives nothing away, and scores add up."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from saewidgets.demos.recipe import study
from saewidgets.demos.recipe.harvest import where_of
from saewidgets.sae.activations import JumpReLU
from saewidgets.sae.autoencoder import SparseAutoencoder

D_IN, D_SAE, WINDOWS, LENGTH = 8, 24, 200, 16


class Words:
    """A tokenizer whose tokens are their own numbers."""

    def decode(self, ids, skip_special_tokens: bool = True) -> str:
        assert skip_special_tokens
        return "".join(f" {int(i)}" for i in ids if i)


@pytest.fixture
def sae() -> SparseAutoencoder:
    g = torch.Generator().manual_seed(0)
    W = torch.randn(D_SAE, D_IN, generator=g)
    W /= W.norm(dim=1, keepdim=True)
    return SparseAutoencoder(
        W.T.contiguous(), torch.zeros(D_SAE), W, torch.zeros(D_IN), activation=JumpReLU(torch.full((D_SAE,), 1.0))
    )


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[list[Path], np.ndarray, torch.Tensor, np.ndarray]:
    """Two shards, the windows' tokens, the rows and where they stand."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(WINDOWS * (LENGTH - 1), D_IN, generator=g).half()
    where = (np.arange(WINDOWS)[:, None] << 16 | np.arange(1, LENGTH)).ravel()
    where = np.random.default_rng(2).permutation(where)
    paths = []
    for i, part in enumerate(np.array_split(np.arange(len(x)), 2)):
        path = tmp_path / f"train_{i:03d}.npy"
        np.save(path, x[part].numpy())
        np.save(where_of(path), where[part])
        paths.append(path)
    windows = np.arange(1, WINDOWS * LENGTH + 1).reshape(WINDOWS, LENGTH)
    return paths, windows, x.float(), where


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_firings_are_those_of_a_dense_pass(sae: SparseAutoencoder, corpus) -> None:
    paths, _, x, where = corpus
    allowed = np.random.default_rng(3).random(WINDOWS) < 0.7
    found = study.firings(sae, paths, [3, 17], allowed)
    dense = sae.encode(x).dense(D_SAE).numpy()
    for feature in (3, 17):
        on = np.flatnonzero((dense[:, feature] > 0) & allowed[where >> 16])
        assert sorted(found[feature].where.tolist()) == sorted(where[on].tolist())
        truth = dict(zip(where[on].tolist(), dense[on, feature].tolist(), strict=True))
        np.testing.assert_allclose(found[feature].values, [truth[p] for p in found[feature].where.tolist()], rtol=1e-5)
        assert (np.diff(found[feature].values) <= 0).all()


def test_sheets_keep_the_reader_blind_and_the_key_true(sae: SparseAutoencoder, corpus, tmp_path: Path) -> None:
    paths, windows, x, where = corpus
    live = study.sheets(sae, Words(), paths, windows, np.ones(WINDOWS, bool), tmp_path / "s", count=6)
    order = np.random.default_rng(0).permutation(D_SAE).tolist()
    assert live == order[:6]  # all are live here
    dense = dict(zip(where.tolist(), sae.encode(x).dense(D_SAE).numpy(), strict=True))
    place = {int(token): i for i, token in enumerate(windows.ravel())}
    shown: dict[str, set[int]] = {}

    def marked(text: str) -> int:
        at = place[int(text.split("«")[1].split("»")[0])]
        return (at // LENGTH) << 16 | at % LENGTH

    for row in rows(tmp_path / "s" / "to_name.csv"):
        at = marked(row["example"])
        assert dense[at][int(row["feature"])] > 0
        shown.setdefault(row["feature"], set()).add(at >> 16)
    sheet, key = rows(tmp_path / "s" / "to_sort.csv"), rows(tmp_path / "s" / "key.csv")
    assert "fires" not in sheet[0]
    for row, answer in zip(sheet, key, strict=True):
        at, feature = marked(row["text"]), int(row["feature"])
        assert (dense[at][feature] > 0) == (answer["fires"] == "1")
        assert at >> 16 not in shown[row["feature"]]
        if answer["fires"] == "0":
            assert dense[at][study.nearest(sae, feature)] > 0
    for feature in live:
        truth = [row["fires"] for row in key if row["feature"] == str(feature)]
        assert truth.count("1") == truth.count("0") == 5
    assert len({tuple(r["fires"] for r in key if r["feature"] == str(f)) for f in live}) > 1  # orders are shuffled


def test_score_counts_right_answers(sae: SparseAutoencoder, corpus, tmp_path: Path) -> None:
    paths, windows, _, _ = corpus
    folder = tmp_path / "s"
    live = study.sheets(sae, Words(), paths, windows, np.ones(WINDOWS, bool), folder, count=4)
    key = rows(folder / "key.csv")
    with (folder / "names.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("feature", "name", "kind"), *((f, f"name {f}", "token") for f in live[:3])])
        csv.writer(file).writerow((live[3], "a tone", "tone"))
    with (folder / "sorted.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("feature", "snippet", "fires"))
        for row in key:  # the first feature wrong three times, the others right
            wrong = int(row["feature"]) == live[0] and int(row["snippet"]) < 3
            out.writerow((row["feature"], row["snippet"], 1 - int(row["fires"]) if wrong else row["fires"]))
    found = study.score(folder)
    assert found == {"features": 4, "at_least_8_of_10": 0.75, "more_than_a_token_string": 0.25}
    assert [int(row["right_of_10"]) for row in rows(folder / "verdicts.csv")] == [7, 10, 10, 10]
    assert len(rows(folder / "snippets.csv")) == 40
