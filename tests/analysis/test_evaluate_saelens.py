"""Our evaluation against what SAELens' own said of the same SAEs on the same tokens (``generate/saelens_evals.py``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saewidgets as sw
from saewidgets.lm.load import load_model
from saewidgets.lm.model import LanguageModel
from saewidgets.records import Evaluation

FOLDER = Path(__file__).with_name("fixtures") / "saelens_evals"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text("utf-8"))
SAES = sorted(path.parent.name for path in FOLDER.glob("*/sae_weights.safetensors"))
THEIRS = {
    "l0": "sparsity/l0",
    "variance_explained": "reconstruction_quality/explained_variance",
    "mse": "reconstruction_quality/mse",
    "cosine": "reconstruction_quality/cossim",
    "ce_bare": "model_performance_preservation/ce_loss_without_sae",
    "ce_sae": "model_performance_preservation/ce_loss_with_sae",
    "ce_zero": "model_performance_preservation/ce_loss_with_ablation",
    "ce_recovered_zero": "model_performance_preservation/ce_loss_score",
    "kl": "model_behavior_preservation/kl_div_with_sae",
}
"""Our figure → the same one among theirs."""


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model(FOLDER / "model")


def evaluated(model: LanguageModel, name: str) -> Evaluation:
    return sw.load(model, sae=FOLDER / name).evaluate(EXPECTED["texts"])


def test_both_see_the_same_tokens(model: LanguageModel) -> None:
    theirs = np.load(FOLDER / "tokens.npz")["tokens"]
    assert [list(model.tokens(text).ids) for text in EXPECTED["texts"]] == theirs.tolist()


@pytest.mark.parametrize("name", SAES)
def test_figures_are_those_of_saelens(model: LanguageModel, name: str) -> None:
    found, expected = evaluated(model, name), EXPECTED[name]
    for ours, theirs in THEIRS.items():
        group, figure = theirs.split("/")
        assert getattr(found, ours) == pytest.approx(expected[group][figure], rel=2e-5), ours
    np.testing.assert_allclose(found.density, expected["feature_density"], rtol=1e-6)
    assert found.n_tokens == 24 * 63  # they report 24 · 64, BOS counted, though it takes no part


def test_the_sae_is_no_degenerate_case(model: LanguageModel) -> None:
    found = evaluated(model, "topk")
    assert 0.5 < found.variance_explained < 0.99
    assert found.ce_bare < found.ce_sae < found.ce_mean
    assert 0 < found.kl < 1
