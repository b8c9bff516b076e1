"""Every format against files and answers of the library it belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import saewidgets as sw

FIXTURES = Path(__file__).parent / "fixtures"
CASES = sorted(path.parent for path in FIXTURES.rglob("expected.safetensors"))


def expected(case: Path) -> dict[str, torch.Tensor]:
    return load_file(case / "expected.safetensors")


def opened(case: Path) -> sw.SparseAutoencoder:
    return sw.load_sae(case, allow_pickle=(case / "ae.pt").exists())


def name_of(case: Path) -> str:
    return str(case.relative_to(FIXTURES))


def test_all_formats_have_fixtures() -> None:
    assert len(CASES) >= 38
    assert {case.relative_to(FIXTURES).parts[0] for case in CASES} == {
        "saelens", "sparsify", "dictionary_learning", "gemma_scope", "gemma_scope_2", "llama_scope"
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_feature_acts_are_the_librarys(case: Path) -> None:
    want, sae = expected(case), opened(case)
    acts = sae.encode(want["x"])
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if "bfloat16" not in case.name else {"atol": 0.05, "rtol": 0.02}
    torch.testing.assert_close(acts.dense(sae.d_sae), want["feature_acts"], **tolerance)
    assert (acts.values[:, :-1] >= acts.values[:, 1:]).all()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_single_features_are_the_librarys(case: Path) -> None:
    want, sae = expected(case), opened(case)
    chosen = torch.tensor([3, 0, 11])
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if "bfloat16" not in case.name else {"atol": 0.05, "rtol": 0.02}
    torch.testing.assert_close(sae.feature_acts(want["x"], chosen), want["feature_acts"][:, chosen], **tolerance)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_reconstructions_are_the_librarys(case: Path) -> None:
    want, sae = expected(case), opened(case)
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if "bfloat16" not in case.name else {"atol": 0.1, "rtol": 0.02}
    torch.testing.assert_close(sae.reconstruct(want["x"]), want["reconstruction"], **tolerance)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_hooks_and_model_are_told(case: Path) -> None:
    about, sae = json.loads((case / "expected.json").read_text()), opened(case)
    assert sae.hook_name == about["hook_name"]
    assert sae.hook_name_out == (about["hook_name_out"] or "")
    assert sae.model_name == about["model_name"]
    assert sae.prepend_bos == about.get("prepend_bos", True)
    assert sae.is_transcoder == bool(about["hook_name_out"])


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_nothing_that_changes_meaning_escapes_the_hash(case: Path) -> None:
    sae = opened(case)
    assert sae.hash() == opened(case).hash()
    for name, tensor in sae.tensors().items():
        kept = tensor.flatten()[0].item()
        tensor.view(-1)[0] += 0.5
        assert sae.hash() != opened(case).hash(), name
        tensor.view(-1)[0] = kept
    assert sae.hash() == opened(case).hash()


def test_fixtures_exercise_every_bias_and_threshold() -> None:
    """A reader that forgot one would not agree: no weight of any fixture is zero throughout."""
    for case in CASES:
        for name, tensor in opened(case).tensors().items():
            assert tensor.abs().max() > 0.01, (case, name)
