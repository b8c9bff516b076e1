"""The shipped demo: files that belong together, and sessions that answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import saewidgets as sw
from saewidgets.analysis.fit import variance_explained
from saewidgets.demos import DATA
from saewidgets.sae import files

PROMPT = "Tell me about your day."


def test_the_shipped_sae_has_a_card_of_measured_figures() -> None:
    sae = files.load(DATA / "sae")
    assert sae.d_sae >= 4096
    assert sae.card["training_tokens"] >= 1_000_000
    for figure in ("variance_explained", "l0", "ce_recovered_vs_mean_ablation", "held_out_tokens", "sources"):
        assert figure in sae.card
    maxima = np.load(DATA / "maxima.npy", allow_pickle=False)
    assert maxima.shape == (sae.d_sae,)
    assert (maxima > 0).mean() > 0.98


@pytest.fixture(scope="module")
def session() -> sw.Session:
    return sw.demo()


@pytest.mark.slow
def test_the_card_names_the_model_that_is_loaded(session: sw.Session) -> None:
    assert session.sae.card["model_hash"] == session.model.hash()


@pytest.mark.slow
def test_variance_explained_on_the_sample_is_near_the_card(session: sw.Session) -> None:
    from saewidgets.analysis.sample import passages

    rows = torch.cat([torch.from_numpy(session.activations(text))[1:] for text in passages()[:12]])
    assert variance_explained(rows, session.sae.reconstruct(rows)) > session.sae.card["variance_explained"] - 0.08


@pytest.mark.slow
def test_views_agree_with_each_other(session: sw.Session) -> None:
    text = "San Francisco is a city in California."
    frame = session.tokens(text)
    matrix = session.acts(text)
    assert matrix.nnz == len(frame)
    assert np.allclose(matrix[frame["position"].to_numpy(), frame["feature"].to_numpy()], frame["activation"])
    top = session.top_features(text, k=3)
    best: dict[int, float] = {}
    for position, feature, value in frame[["position", "feature", "activation"]].to_numpy().tolist():
        if position > 0:
            best[int(feature)] = max(best.get(int(feature), 0.0), value)
    assert top["feature"].tolist() == sorted(best, key=lambda f: -best[f])[:3]
    native = session.tokens(text, scale="native")
    norms = session.sae.decoder_norms().numpy()
    assert np.allclose(sorted(native["activation"] * norms[native["feature"]]), sorted(frame["activation"]), rtol=1e-5)


@pytest.mark.slow
def test_no_intervention_is_the_bare_model_and_clamping_changes_the_text(session: sw.Session) -> None:
    bare = session.generate(PROMPT, max_new_tokens=12)
    assert session.generate(PROMPT, {}, max_new_tokens=12) == bare
    feature = session.top_features("San Francisco Bay", k=1)["feature"].tolist()[0]
    assert session.generate(PROMPT, {feature: None}, max_new_tokens=12) == bare
    assert session.generate(PROMPT, {feature: 8.0}, max_new_tokens=12) != bare
    assert session.generate(PROMPT, max_new_tokens=12) == bare, "no hook was left behind"


@pytest.mark.slow
@pytest.mark.parametrize("strengths", [{10**9: 1.0}, {-1: 1.0}, {0: float("nan")}, {0: float("inf")}])
def test_impossible_interventions_are_refused(session: sw.Session, strengths: dict[int, float]) -> None:
    with pytest.raises(ValueError, match=r"feature|strength"):
        session.generate(PROMPT, strengths)
