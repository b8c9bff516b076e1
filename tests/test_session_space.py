# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
"""The session's feature space: neighbours, distances, map, and the files they are kept in."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import saewidgets as sw
from saewidgets.analysis import atlas, space
from saewidgets.analysis.logits import final_norm, usual_tokens
from saewidgets.analysis.space import unembedding
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped
from saewidgets.records import FeatureSpace
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.session import Session

HOOK = "blocks.2.hook_resid_post"
SENTENCES = [
    "The bridge over the river is golden in the evening light.",
    "She said that the old bridge was closed, and the ferry was late.",
    "def bridge(x):\n    return x + 1\n",
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def s(tiny_llama: LanguageModel, make_sae: Any) -> Session:
    return sw.load(tiny_llama, sae=make_sae("topk", hook_name=HOOK, d_sae=64))


def index_of(s: Session) -> Any:
    """What a corpus index knows, from real encodes of a few sentences."""
    acts = s.acts(SENTENCES * 2)
    fires = (acts > 0).astype(bool)
    counts = np.asarray(fires.sum(0)).ravel()
    return SimpleNamespace(
        counts=counts,
        density=counts / acts.shape[0],
        maximum=acts.max(0).toarray().ravel(),
        labels=[f"label {i}" if i % 3 else "" for i in range(s.sae.d_sae)],
        label_scores=np.linspace(0, 1, s.sae.d_sae, dtype=np.float32),
        sample=fires,
    )


def test_neighbours_by_every_distance(s: Session) -> None:
    W = s.sae.W_dec.numpy()
    cosine = (W @ W[3]) / np.linalg.norm(W, axis=1) / np.linalg.norm(W[3])
    order = [i for i in np.argsort(-cosine, kind="stable") if i != 3]
    found = s.neighbors(3, k=5)
    assert found.feature.tolist() == order[:5]
    np.testing.assert_allclose(found.similarity, cosine[order[:5]], atol=1e-6)
    np.testing.assert_allclose(found.distance, 1 - cosine[order[:5]], atol=1e-6)
    assert found.rank_decoder.tolist() == [1, 2, 3, 4, 5]
    assert found.rank_encoder.notna().all() and found.rank_logit.notna().all()
    assert found.rank_coactivation.isna().all()
    assert found.columns.tolist() == [
        "feature", "distance", "similarity", "label", "density",
        "rank_decoder", "rank_encoder", "rank_logit", "rank_coactivation",
    ]  # fmt: skip
    s.index = index_of(s)
    found = s.neighbors(3, k=63)
    for name in ("encoder", "logit"):
        by_other = s.neighbors(3, k=63, distance=name)
        ranks = found.set_index("feature")[f"rank_{name}"]
        assert ranks[by_other.feature].tolist() == list(range(1, 64))
    assert found.label.tolist() == [s.index.labels[i] for i in found.feature]
    np.testing.assert_allclose(found.density, s.index.density[found.feature], rtol=1e-6)


def test_logit_ranks_of_a_large_sae_wait_until_asked_for(s: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "LIGHT_WORK", 1000)
    assert s.neighbors(3).rank_logit.isna().all()
    s.neighbors(3, distance="logit")
    assert s.neighbors(3).rank_logit.notna().all()
    assert s.nearest_features(3).frame.equals(s.neighbors(3))


def test_logit_distance_is_that_of_the_median_centred_logits(s: Session, tiny_llama: LanguageModel) -> None:
    module = tiny_llama.module
    directions = s.sae.W_dec.double() * module.model.norm.weight.double()
    logits = (directions @ module.lm_head.weight.double().T).detach()[:, usual_tokens(tiny_llama)]
    centred = logits - logits.median(dim=1, keepdim=True).values
    expected = torch.nn.functional.cosine_similarity(centred[7][None], centred)
    found = s.neighbors(7, k=10, distance="logit")
    np.testing.assert_allclose(found.similarity, expected[found.feature.tolist()], atol=1e-4)
    assert found.similarity[9] >= expected.sort().values[-11] - 1e-4


def test_coactivation_is_the_phi_of_the_index_sample(s: Session) -> None:
    with pytest.raises(ValueError, match=r"s\.scan"):
        s.neighbors(3, distance="coactivation")
    s.index = index_of(s)
    fires = s.index.sample.toarray().astype(float)
    counts = fires.sum(0)
    feature = int(np.argsort(-counts)[2])
    found = s.neighbors(feature, k=4, distance="coactivation")
    for row in found.itertuples():
        expected = np.corrcoef(fires[:, feature], fires[:, row.feature])[0, 1]  # type: ignore[index]
        assert row.similarity == pytest.approx(expected, abs=1e-6)
    silent = np.flatnonzero(counts == 0)
    if len(silent):
        with pytest.raises(ValueError, match="never fired"):
            s.neighbors(int(silent[0]), distance="coactivation")
    other = index_of(s)
    other.sample = other.sample[:60]
    s.index = other  # a new scan takes the place of the old one
    fewer = s.neighbors(feature, k=4, distance="coactivation")
    assert not fewer.similarity.equals(found.similarity)


def test_bad_input_is_named(s: Session) -> None:
    with pytest.raises(ValueError, match=r"no distance 'euclid'.*decoder, encoder"):
        s.neighbors(3, distance="euclid")
    with pytest.raises(ValueError, match="no feature 64"):
        s.neighbors(64)
    with pytest.raises(ValueError, match="k must be from 1 to 63"):
        s.neighbors(3, k=64)
    with pytest.raises(ValueError, match="n_neighbors=80 needs more than 80 features"):
        s.layout(n_neighbors=80)
    with pytest.raises(ValueError, match="n_neighbors must be at least 2"):
        s.layout(n_neighbors=1)
    with pytest.raises(ValueError, match="min_dist"):
        s.layout(min_dist=-1)
    with pytest.raises(ValueError, match="two or more"):
        s.compare_distances(distances=["decoder"])


def test_a_zero_decoder_row_is_nobodys_neighbour(tiny_llama: LanguageModel, make_sae: Any) -> None:
    sae: SparseAutoencoder = make_sae("topk", hook_name=HOOK, d_sae=64)
    W_dec = sae.W_dec.clone()
    W_dec[5], W_dec[9] = 0, W_dec[8]
    s = sw.load(tiny_llama, sae=dataclasses.replace(sae, W_dec=W_dec))
    with pytest.raises(ValueError, match="feature 5 has a decoder vector of zeros"):
        s.neighbors(5)
    assert s.neighbors(8, k=1).feature.tolist() == [9]
    everyone = s.neighbors(8, k=63)
    assert 5 not in everyone.feature.tolist() and len(everyone) == 62
    assert s.neighbors(5, distance="encoder").rank_decoder.isna().all()


def test_an_sae_off_the_residual_stream_has_no_logit_distance(tiny_llama: LanguageModel, make_sae: Any) -> None:
    s = sw.load(tiny_llama, sae=make_sae("topk", hook_name="blocks.2.attn.hook_z"))
    with pytest.raises(ValueError, match=r"residual stream, not at blocks\.2\.attn\.hook_z"):
        s.neighbors(3, distance="logit")
    assert list(s.compare_distances(k=3).columns) == ["feature", "label", "decoder_encoder", "overlap"]


def test_comparison_counts_shared_neighbours(s: Session) -> None:
    s.index = index_of(s)
    found = s.compare_distances(k=5, distances=["decoder", "encoder", "logit"])
    assert found.columns.tolist() == [
        "feature", "label", "decoder_encoder", "decoder_logit", "encoder_logit", "overlap",
    ]  # fmt: skip
    assert found.overlap.is_monotonic_increasing
    assert sorted(found.feature) == list(range(64))
    for row in (found.iloc[0], found.iloc[-1]):
        near = {name: set(s.neighbors(row.feature, 5, name).feature) for name in ("decoder", "encoder", "logit")}
        assert row.decoder_logit == pytest.approx(len(near["decoder"] & near["logit"]) / 5)
        assert row.encoder_logit == pytest.approx(len(near["encoder"] & near["logit"]) / 5)
    assert "decoder_coactivation" in s.compare_distances(k=5).columns


def test_agreement_needs_an_index_and_has_a_null(s: Session) -> None:
    with pytest.raises(ValueError, match=r"s\.scan"):
        s.distance_agreement()
    s.index = index_of(s)
    found = s.distance_agreement()
    assert -1 <= found.spearman <= 1
    assert len(found.null) == 200
    assert s.distance_agreement("decoder", "decoder").spearman == pytest.approx(1)


# ---- the unembedding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["new_llama", "new_gpt2"])
def test_unembedding_is_the_models_own(kind: str, request: pytest.FixtureRequest, byte_tokenizer: Any) -> None:
    """Logits of residuals of unit scale, so that the norm's division does nothing, are those of the matrix."""
    tiny = LanguageModel(request.getfixturevalue(kind)(), byte_tokenizer, kind)
    norm, head = final_norm(tiny), tiny.module.get_output_embeddings()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-0.5, 2, tiny.d_model))  # type: ignore[operator]
        if getattr(norm, "bias", None) is not None:
            norm.bias.copy_(torch.linspace(0, 1, tiny.d_model))  # type: ignore[union-attr, operator]
        x = torch.randn(5, tiny.d_model, generator=torch.Generator().manual_seed(0))
        centred = x - x.mean(-1, keepdim=True) if isinstance(norm, torch.nn.LayerNorm) else x
        x = x / centred.square().mean(-1, keepdim=True).sqrt()
        difference = head(norm(x)) - head(norm(-x))
    W_U, ids = unembedding(tiny)
    assert set(range(len(byte_tokenizer))) - set(ids.tolist()) == set(byte_tokenizer.all_special_ids)
    torch.testing.assert_close(2 * x @ W_U, difference[:, ids], atol=2e-3, rtol=1e-3)


def test_names_by_tokens_prefer_whole_words() -> None:
    assert atlas._first_words(["ment", " bridge", "\n", " Bridge", " river", " the"]) == "bridge, river"
    assert atlas._first_words(["ment", "x", "Ment"]) == "ment, x"
    assert atlas._first_words([" ", "\n"]) == ""


# ---- the map -----------------------------------------------------------------------------------------------------


def same(one: FeatureSpace, other: FeatureSpace) -> bool:
    return one.frame.equals(other.frame) and one.tables["decoder"].frame.equals(other.tables["decoder"].frame)


def test_a_map_is_made_once_and_then_read(s: Session, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        s.layout(stop=stopped)
    assert not list(own_cache.rglob("map-*"))
    first = s.layout()
    (path,) = own_cache.rglob("map-*.npz")
    monkeypatch.setattr(atlas, "atlas", None)  # nothing may be made again
    assert same(s.layout(), first)
    assert same(sw.load(s.model, sae=s.sae).layout(), first)
    with pytest.raises(TypeError):
        s.layout(seed=1)
    monkeypatch.undo()
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(own_cache / "other"))
    assert same(s.layout(), first)  # made anew: the same bits
    moved = own_cache / "shipped"
    moved.mkdir()
    path.rename(moved / path.name)
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(own_cache / "empty"))
    monkeypatch.setattr(atlas, "atlas", None)
    s.map_folders = (moved,)
    assert same(s.layout(), first)

    measure = s.neighbors(4, k=30)
    assert first.tables["decoder"].indices[4].tolist() == measure.feature.tolist()
    assert first.provenance.sae_hash == s.sae.hash()
    assert first.trustworthiness is not None and 0.5 < first.trustworthiness <= 1
    named = first.cluster_names
    assert len(named) == first.cluster.max() + 1
    assert all(named)  # by promoted tokens, without an index

    s.index = index_of(s)
    dressed = s.layout()
    assert dressed.labels == tuple(s.index.labels)
    assert np.array_equal(dressed.density, s.index.density.astype(np.float32))  # type: ignore[arg-type]

    widget = s.map()
    assert len(widget.space) == 64
    text = SENTENCES[0]
    features, values = s._firing(text, threading.Event())
    frame = s.tokens(text)
    frame = frame[frame.position > 0]  # BOS does not count
    expected = frame.groupby("feature").activation.max()
    assert features.tolist() == expected.index.tolist()
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_a_kept_map_is_read_without_umap(s: Session, tmp_path: Path) -> None:
    """The package's own reading of a map file in a fresh process imports neither umap nor scikit-learn's clusters."""
    from saewidgets.geometry import files

    table = s.neighbors(3, k=5)
    assert len(table) == 5
    made = FeatureSpace(np.zeros((4, 2), np.float32), np.full(4, -1, np.int32))
    path = files.save(made, tmp_path / "map.npz")
    code = (
        "import sys; from pathlib import Path; import saewidgets.analysis.atlas; "
        "from saewidgets.geometry import files; files.load(Path(sys.argv[1])); "
        "print([name for name in ('umap', 'numba', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_the_recipe_ships_is_what_a_session_reads(
    s: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saewidgets.demos.recipe.map import build

    folder = tmp_path / "data" / "map"
    folder.mkdir(parents=True)
    (folder / "map-0123456789abcdef-0123.npz").write_bytes(b"of another SAE")
    made = build(s, folder)
    names = sorted(path.name for path in folder.iterdir())
    assert [name.split(s.sae.hash())[0] for name in names] == ["logit-medians-", "map-"]
    monkeypatch.setattr(atlas, "atlas", None)  # nothing may be made again
    monkeypatch.setattr(space, "logit_medians", None)
    fresh = sw.load(s.model, sae=s.sae)
    fresh.map_folders = (folder,)
    assert same(fresh.layout(), made)
    assert fresh.neighbors(3, distance="logit").rank_logit.tolist() == list(range(1, 11))
