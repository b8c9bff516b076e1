"""Every format against files and answers of the library it belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import saewidgets as sw
from saewidgets.sae import files

FIXTURES = Path(__file__).parent / "fixtures"
CASES = sorted(path.parent for path in FIXTURES.rglob("expected.safetensors"))


def expected(case: Path) -> dict[str, torch.Tensor]:
    return load_file(case / "expected.safetensors")


def opened(case: Path) -> sw.SparseAutoencoder:
    return sw.load_sae(case, allow_pickle=(case / "ae.pt").exists())


def name_of(case: Path) -> str:
    return str(case.relative_to(FIXTURES))


def close(ours: torch.Tensor, theirs: torch.Tensor, case: Path) -> None:
    """To 1e-5; where the library itself computes in bfloat16, to what that can hold."""
    coarse = case.name == "bfloat16"
    torch.testing.assert_close(ours, theirs, atol=0.1 if coarse else 1e-5, rtol=0.02 if coarse else 1e-5)


def test_all_formats_have_fixtures() -> None:
    assert len(CASES) >= 52
    assert {case.relative_to(FIXTURES).parts[0] for case in CASES} == {
        "saelens", "sparsify", "dictionary_learning", "gemma_scope", "gemma_scope_2", "llama_scope", "centred_gpt2",
        "written_by_us",
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_feature_acts_are_the_librarys(case: Path) -> None:
    want, sae = expected(case), opened(case)
    acts = sae.encode(want["x"])
    close(acts.dense(sae.d_sae), want["feature_acts"], case)
    assert (acts.values[:, :-1] >= acts.values[:, 1:]).all()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_single_features_are_the_librarys(case: Path) -> None:
    want, sae = expected(case), opened(case)
    chosen = torch.tensor([3, 0, 11])
    close(sae.feature_acts(want["x"], chosen), want["feature_acts"][:, chosen], case)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_reconstructions_are_the_librarys(case: Path) -> None:
    want, sae = expected(case), opened(case)
    close(sae.reconstruct(want["x"]), want["reconstruction"], case)


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
        first = (0,) * tensor.ndim
        kept = tensor[first].item()
        tensor[first] += 0.5
        assert sae.hash() != opened(case).hash(), name
        tensor[first] = kept
    assert sae.hash() == opened(case).hash()


@pytest.mark.parametrize("case", sorted((FIXTURES / "written_by_us").iterdir()), ids=lambda case: case.name)
def test_what_saelens_read_is_what_we_still_write(case: Path, tmp_path: Path) -> None:
    """`expected.*` is SAELens' answer to these files (checked above); here: that our writer still makes these files."""
    files.save(files.load(case), tmp_path)
    assert json.loads((tmp_path / "cfg.json").read_text()) == json.loads((case / "cfg.json").read_text())
    ours, theirs = load_file(tmp_path / "sae_weights.safetensors"), load_file(case / "sae_weights.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_saelens_took_our_files_for_the_architecture_they_are_of() -> None:
    for case in (FIXTURES / "written_by_us").iterdir():
        about = json.loads((case / "expected.json").read_text())
        assert about["architecture"] == json.loads((case / "cfg.json").read_text())["architecture"]
        assert about["centred"] == (case.name == "centred")


def test_an_sae_of_a_centred_model_reads_the_plain_one() -> None:
    """Features at the hook of the raw GPT-2 are those of the processed `HookedTransformer`."""
    from transformers import AutoModelForCausalLM

    from saewidgets.lm.capture import capture
    from saewidgets.lm.model import LanguageModel

    case = FIXTURES / "centred_gpt2"
    want, sae = expected(case), opened(case)
    assert sae.center_input
    model = LanguageModel(AutoModelForCausalLM.from_pretrained(case / "model"), None, "gpt2")
    x = capture(model, want["ids"], sae.hook_name)[0]
    assert x.mean(-1).abs().max() > 0.1  # else centring would not be tested
    torch.testing.assert_close(sae.encode(x).dense(sae.d_sae), want["feature_acts"], atol=1e-4, rtol=1e-4)
    centred_out = sae.reconstruct(x) - x.mean(-1, keepdim=True)
    torch.testing.assert_close(centred_out, want["reconstruction"], atol=1e-4, rtol=1e-4)


def test_fixtures_exercise_every_bias_and_threshold() -> None:
    """A reader that forgot one would not agree: no weight of any fixture is zero throughout."""
    for case in CASES:
        for name, tensor in opened(case).tensors().items():
            assert tensor.abs().max() > 0.01, (case, name)
