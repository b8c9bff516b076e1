"""The trust panel turns amber or red for everything that is commonly wrong, and green for the right SAE."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch

import saewidgets as sw
from saewidgets.analysis.check import check
from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel
from saewidgets.records import TrustReport
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.training.trainer import Trainer


@pytest.fixture(scope="module")
def session() -> sw.Session:
    return sw.demo()


def report(session: sw.Session, **changed: object) -> TrustReport:
    settings = {"sae": session.sae, "hook_name": session.hook_name, "prepend_bos": True, **changed}
    return check(session.model, **settings)  # type: ignore[arg-type]


def finding(report: TrustReport, name: str) -> tuple[str, str]:
    row = next(f for f in report.findings if f.name == name)
    return row.status, row.cause


@pytest.mark.slow
def test_the_right_sae_is_green(session: sw.Session) -> None:
    found = report(session)
    assert found.status == "green", found.frame
    values = {f.name: f.value for f in found.findings}
    assert values["Variance explained"] > 0.7
    assert values["CE recovered"] > 0.85
    # A JumpReLU's threshold holds k a token on the training text; the sample passages are other text.
    assert values["L0"] == pytest.approx(session.sae.card["k"], rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("off", [-3, -1, 1, 3])
def test_a_wrong_layer_is_named(session: sw.Session, off: int) -> None:
    right = int(session.hook_name.split(".")[1])
    found = report(session, hook_name=f"blocks.{right + off}.hook_resid_post")
    assert found.status in ("amber", "red")
    status, cause = finding(found, "Margin over nearby layers")
    assert status != "green"
    assert f"hook_name='{session.hook_name}'" in cause
    assert session.hook_name in found.summary


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_an_input_of_the_wrong_scale_is_named(session: sw.Session, scale: float) -> None:
    # An SAE trained on inputs of another scale: for a top-k SAE exactly its biases scale along.
    sae = dataclasses.replace(session.sae, b_enc=session.sae.b_enc / scale, b_dec=session.sae.b_dec / scale)
    found = report(session, sae=sae)
    assert found.status in ("amber", "red")
    assert f"off by a factor of {scale:g}" in found.summary or f"off by a factor of {1 / scale:g}" in found.summary


@pytest.mark.slow
def test_missing_bos_is_named(session: sw.Session) -> None:
    found = report(session, prepend_bos=False)
    assert found.status in ("amber", "red")
    assert "prepend_bos=True" in found.summary


@pytest.mark.slow
def test_forgotten_subtraction_of_b_dec_is_named(session: sw.Session) -> None:
    found = report(session, sae=dataclasses.replace(session.sae, apply_b_dec_to_input=False))
    assert found.status in ("amber", "red")
    assert "apply_b_dec_to_input=True" in found.summary


@pytest.mark.slow
def test_another_model_of_equal_width_is_red(session: sw.Session) -> None:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    config = session.model.module.config.__class__(**{**session.model.module.config.to_dict(), "num_hidden_layers": 19})
    other = LanguageModel(LlamaForCausalLM(config), session.model.tokenizer, "random-llama-576")
    found = check(other, session.sae, session.hook_name, True)
    assert found.status == "red", found.frame
    assert "model" in found.summary


@pytest.mark.slow
def test_the_report_is_measured_once_and_cached(session: sw.Session, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path))
    first = sw.Session(session.model, session.sae).trust()
    monkeypatch.setattr("saewidgets.analysis.check.check", lambda *given: pytest.fail("measured twice"))
    again = sw.Session(session.model, session.sae).trust()
    assert again == first


def centred_batches(model: LanguageModel, hook_name: str) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    while True:
        ids = torch.randint(3, model.module.config.vocab_size, (16, 64), generator=generator)
        x = capture(model, ids, hook_name).flatten(0, 1).clone()
        yield x - x.mean(-1, keepdim=True)


def test_missing_centring_is_named(tiny_gpt2: LanguageModel) -> None:
    # LayerNorm ignores a constant added to the residual stream, so models differ in it freely; an SAE trained on
    # centred activations must be told to centre.
    import copy

    module = copy.deepcopy(tiny_gpt2.module)
    with torch.no_grad():
        module.transformer.wte.weight += 0.5  # type: ignore[union-attr, operator]
    model = LanguageModel(module, tiny_gpt2.tokenizer, "tiny-gpt2-uncentred")
    hook_name = "blocks.1.hook_resid_post"
    batches = centred_batches(model, hook_name)
    trainer = Trainer(next(batches), d_sae=512, k=12, steps=150, architecture="topk", lr=3e-3)
    for _ in range(150):
        trainer.step(next(batches))
    right = dataclasses.replace(trainer.sae(), hook_name=hook_name, center_input=True, prepend_bos=False)
    wrong = dataclasses.replace(right, center_input=False)
    assert finding(check(model, right, hook_name, False), "Variance explained")[0] == "green"
    status, cause = finding(check(model, wrong, hook_name, False), "Variance explained")
    assert status in ("amber", "red")
    assert "center_input=True" in cause


def test_wrong_width_is_an_error(tiny_llama: LanguageModel) -> None:
    sae = SparseAutoencoder(torch.zeros(7, 9), torch.zeros(9), torch.zeros(9, 7), torch.zeros(7), activation=sw.TopK(2))
    with pytest.raises(ValueError, match=r"32 wide, but this SAE reads d_in=7"):
        check(tiny_llama, sae, "blocks.1.hook_resid_post", True)
