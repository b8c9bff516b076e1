"""The demo's index: the recipe on a small corpus, and whatever index is shipped, recomputed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import saewidgets as sw
from saewidgets.demos import DATA
from saewidgets.demos.recipe import harvest
from saewidgets.demos.recipe import index as recipe
from saewidgets.demos.recipe.corpus import CONTEXT
from saewidgets.index import store
from saewidgets.index.index import Index
from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
FOLDER = DATA / "index"


@pytest.fixture
def work(tiny_llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe's folder with three harvested shards and a source that may not be shipped."""
    monkeypatch.setattr(harvest, "SHARD", 10)
    monkeypatch.setattr(recipe, "SHARD", 10)
    rng = np.random.default_rng(0)
    rows, lengths = np.zeros((26, CONTEXT), np.uint16), rng.integers(40, 150, 26).astype(np.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = [0, *rng.integers(2, len(tiny_llama.tokenizer), length - 1)]
    source = rng.integers(0, 2, 26).astype(np.uint8)
    sources = [
        {"name": "open", "license": "public domain", "shippable": True},
        {"name": "closed", "license": "unknown", "shippable": False},
    ]
    (tmp_path / "counts.json").write_text(json.dumps({"sources": sources}))
    # Chats are harvested the same way, from a file of their own.
    np.savez(tmp_path / "chats.npz", train=rows[19:], train_lengths=lengths[19:])
    np.savez(tmp_path / "tokens.npz", train=rows[19:], train_lengths=lengths[19:])
    for path in harvest.harvest(tiny_llama, tmp_path, "train", [HOOK])[HOOK]:
        harvest.where_of(path).rename(harvest.where_of(path.with_name("chats_000.npy")))
        path.rename(path.with_name("chats_000.npy"))
    np.savez(tmp_path / "tokens.npz", train=rows, train_lengths=lengths, train_source=source)
    harvest.harvest(tiny_llama, tmp_path, "train", [HOOK])
    return tmp_path


def test_the_recipe_indexes_what_was_harvested(
    tiny_llama: LanguageModel, make_sae: Callable[..., SparseAutoencoder], work: Path, tmp_path: Path
) -> None:
    sae = make_sae("jumprelu", hook_name=HOOK)
    folder = recipe.build(tiny_llama, sae, work, tmp_path / "shipped", tokens=10**9)
    session = sw.load(tiny_llama, sae=sae, index=folder)
    index = session.index
    assert index is not None
    paths = [work / "acts" / HOOK / f"{name}.npy" for name in ("chats_000", "train_000", "train_001", "train_002")]
    dense = np.concatenate([sae.encode(as_tensor(path)).dense(sae.d_sae).numpy() for path in paths])
    moves = [0, 7, 7, 7]  # the training windows are numbered behind the seven of the chats
    wheres = zip(paths, moves, strict=True)
    keys = np.concatenate([np.load(harvest.where_of(path)) + (moved << 16) for path, moved in wheres])
    assert index.n_tokens == len(dense) and index.about["n_windows"] == 33
    np.testing.assert_array_equal(index.counts, (dense > 0).sum(0))
    np.testing.assert_array_equal(index.maximum, dense.max(0))
    windows = np.concatenate([np.load(work / f"{name}.npz")["train"] for name in ("chats", "tokens")])
    source = np.load(work / "tokens.npz")["train_source"]
    shown = set()
    for feature in np.flatnonzero(index.counts).tolist():
        for example in index.examples(feature):
            row = dense[keys == (example.window << 16) + example.position]
            np.testing.assert_allclose(example.value, row[0, feature], rtol=1e-3)
            assert example.ids.tolist() == windows[example.window][: len(example.ids)].tolist()
            own = example.window < 7
            assert example.source == ("written by the model itself" if own else "open (public domain)")
            assert own or source[example.window - 7] == 0, "only from what may be shipped"
            shown.add(own)
    assert shown == {True, False}
    assert not (folder / "shards").exists()
    store.verify(folder)
    assert session.card(int(index.counts.argmax())).top[0].source in index.about["sources"]


def as_tensor(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(path)).float()


def test_fewer_tokens_take_fewer_shards(work: Path) -> None:
    assert [path.name for path in recipe.harvested(work, HOOK, 1)] == ["chats_000.npy"]
    assert len(recipe.harvested(work, HOOK, 10**9)) == 4
    with pytest.raises(FileNotFoundError, match=r"no activations of blocks\.1"):
        recipe.harvested(work, "blocks.1.hook_resid_post", 1)
    (work / "acts" / HOOK / "train_001.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"a shard before .* is missing"):
        recipe.harvested(work, HOOK, 10**9)


def test_an_index_over_the_limit_is_not_shipped(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recipe.build(tiny_llama, tiny_sae, work, tmp_path / "shipped")
    monkeypatch.setattr(recipe, "LIMIT", 1000)
    with pytest.raises(ValueError, match="over 1,000: show fewer windows or examples"):
        recipe.ship(folder, tmp_path / "other")
    assert not (tmp_path / "other").exists()


# What is shipped ---------------------------------------------------------------------------------------------------

needs_index = pytest.mark.skipif(not FOLDER.exists(), reason="no index is shipped with this version")


@needs_index
def test_the_shipped_index_is_whole_small_and_of_the_shipped_sae() -> None:
    store.verify(FOLDER)
    index, sae = Index(FOLDER), files.load(DATA / "sae")
    assert index.about["sae_hash"] == sae.hash()
    assert index.about["hook_name"] == sae.hook_name and index.d_sae == sae.d_sae
    assert index.n_tokens >= 2_000_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 20_000_000
    assert {path.name for path in FOLDER.iterdir()} == {*index.about["files"], store.MANIFEST}, (
        "nothing else is shipped"
    )
    assert (index.counts > 0).mean() > 0.9
    assert np.mean([bool(label) for label in index.automatic_labels]) > 0.9


@needs_index
@pytest.mark.slow
def test_a_slice_of_the_shipped_index_recomputed() -> None:
    """64 features on 20k tokens: every example there, every activation around it, by running the model."""
    session = sw.demo()
    index = session.index
    assert index is not None and index.about["model_hash"] == session.model.hash()
    rng = np.random.default_rng(0)
    features = rng.choice(np.flatnonzero(index.counts >= 20), 64, replace=False)
    found = [(int(f), example) for f in features for example in index.examples(int(f))]
    windows: dict[int, np.ndarray] = {}
    for _, example in sorted(found, key=lambda pair: -pair[1].value):
        if sum(map(len, windows.values())) < 20_000:
            windows.setdefault(example.window, example.ids)
    again = {number: recomputed(session, ids, features) for number, ids in windows.items()}
    compared = 0
    for feature, example in found:
        if example.window not in windows:
            continue
        usual, dense = again[example.window]
        column, maximum = dense[:, features.tolist().index(feature)], float(index.maximum[feature])
        # Harvested in half precision, kept in 255 steps; next to a threshold a firing may come or go.
        if usual[example.position]:
            assert abs(example.value - column[example.position]) <= 0.02 * maximum, (feature, example.window)
            compared += 1
        assert (np.abs(example.acts - column)[usual] > 0.02 * maximum).mean() <= 0.02, (feature, example.window)
    assert compared >= 100  # 159 when shipped
    strongest = np.max([dense[usual].max(0) for usual, dense in again.values()], axis=0)
    assert (strongest <= index.maximum[features] * 1.02).all(), "nothing is stronger than the maximum"


def recomputed(session: sw.Session, ids: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens are far from being outliers, which the harvest leaves out, and the features on all of them."""
    x = capture(session.model, torch.from_numpy(ids)[None], session.hook_name)[0]
    norms = x.norm(dim=1)
    usual = norms <= 3 * norms[1:].median()
    usual[0] = False  # BOS
    return usual.numpy(), session.sae.feature_acts(x, torch.from_numpy(features)).numpy()


@needs_index
@pytest.mark.slow
def test_a_card_of_the_demo_opens_at_once() -> None:
    session = sw.demo()
    assert session.index is not None
    feature = int(session.top_features("The Golden Gate Bridge", k=1)["feature"].to_numpy()[0])
    card = session.card(feature)
    assert len(card.top) == 20 and card.promoted and card.neighbors and card.stats.label
    assert len(session.search("bridge")) > 0
