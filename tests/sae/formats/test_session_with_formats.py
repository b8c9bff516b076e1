# pyright: reportOptionalSubscript=false
"""From a folder on disk to a heatmap, a steered text and a verdict; transcoders and normalising SAEs too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saewidgets as sw
from saewidgets.analysis.check import check
from saewidgets.analysis.steer import edit_of
from saewidgets.lm.capture import capture, logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.records import TrustReport
from saewidgets.sae import files

D = 32


def random_sae(seed: int = 0, d_out: int = D, **options: Any) -> sw.SparseAutoencoder:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(D, 48), (48,), (48, d_out), (d_out,)]
    tensors = [torch.randn(shape, generator=generator) * 0.4 for shape in shapes]
    return sw.SparseAutoencoder(*tensors, activation=sw.TopK(6), **options)


TRANSCODER: dict[str, Any] = {
    "hook_name": "blocks.1.mlp.hook_in",
    "hook_name_out": "blocks.1.mlp.hook_out",
    "apply_b_dec_to_input": False,
}


def exact_transcoder(model: LanguageModel) -> sw.SparseAutoencoder:
    """One that predicts a linear map of what the MLP reads: its skip path alone, fitted by least squares."""
    ids = torch.arange(400).reshape(4, 100) * 7 % 200
    x = capture(model, ids, TRANSCODER["hook_name"]).reshape(-1, D)
    y = capture(model, ids, TRANSCODER["hook_name_out"]).reshape(-1, D)
    mean = y.mean(0)
    skip = torch.linalg.lstsq(x, y - mean).solution
    sae = random_sae(**TRANSCODER)
    return replace(sae, W_dec=sae.W_dec * 1e-3, b_dec=mean, W_skip=skip)


def test_a_folder_on_disk_is_one_line_from_a_heatmap(tiny_llama: LanguageModel, tmp_path: Path) -> None:
    files.save(random_sae(hook_name="blocks.1.hook_resid_post"), tmp_path)
    s = sw.load(tiny_llama, sae=str(tmp_path))
    s.trust()  # known before the heatmap, which else checks in the background while other tests use this model
    frame = s.heatmap("The bridge").frame
    assert len(frame) > 0
    assert frame["activation"].to_numpy().max() > 0


@pytest.mark.parametrize("normalize", ["layer_norm", "constant_norm"])
def test_clamping_a_normalising_sae_moves_its_reconstruction_as_decoding_does(
    tiny_llama: LanguageModel, normalize: Any
) -> None:
    """x + Δ is SAE(x) with the feature set, plus the error: decoded, un-normalised, compared."""
    sae = random_sae(hook_name="blocks.1.hook_resid_post", normalize=normalize)
    x = capture(tiny_llama, torch.tensor([[5, 9, 13, 21, 34, 55]]), sae.hook_name)
    edit = edit_of(sae, [sw.clamp(7, 2.0)], np.ones(48, np.float32), has_bos=False)
    assert edit is not None
    dense = sae.encode(x).dense(48)
    dense[..., 7] = 2.0
    scale = x.std(-1, keepdim=True) if normalize == "layer_norm" else x.norm(dim=-1, keepdim=True) / D**0.5
    shift = x.mean(-1, keepdim=True) if normalize == "layer_norm" else 0
    clamped = (dense @ sae.W_dec + sae.b_dec) * scale + shift
    wanted = clamped + (x - sae.reconstruct(x))
    changed = edit(x, 1)
    moved = (changed != x).any(-1)
    assert moved.sum() >= 4
    torch.testing.assert_close(changed[moved], wanted[moved], atol=1e-4, rtol=1e-4)


def test_a_transcoder_is_read_at_one_hook_and_written_at_the_other(tiny_llama: LanguageModel) -> None:
    sae = random_sae(**TRANSCODER)
    ids = torch.tensor([[5, 9, 13, 21, 34, 55]])
    x, y = capture(tiny_llama, ids, sae.hook_name), capture(tiny_llama, ids, sae.hook_name_out)
    edit = edit_of(sae, [sw.clamp(7, 2.0)], np.ones(48, np.float32), has_bos=False)
    assert edit is not None
    changed = edit(x, 1, y)
    wanted = y + (2.0 - sae.encode(x).feature(7)).unsqueeze(-1) * sae.W_dec[7]
    moved = (changed != y).any(-1)
    assert moved.sum() >= 4
    torch.testing.assert_close(changed[moved], wanted[moved], atol=1e-4, rtol=1e-4)


def test_a_session_with_a_transcoder_steers_and_leaves_the_model_alone(tiny_llama: LanguageModel) -> None:
    s = sw.load(tiny_llama, sae=random_sae(**TRANSCODER))
    s._maxima = np.full(48, 3.0, np.float32)
    bare = s.generate("The bridge", chat=False, max_new_tokens=8)
    steered = {s.generate("The bridge", {f: 20.0}, chat=False, max_new_tokens=8) for f in range(12)}
    assert len(steered - {bare}) >= 2
    assert s.generate("The bridge", chat=False, max_new_tokens=8) == bare


def test_the_trust_panel_compares_a_transcoder_with_what_it_should_predict(tiny_llama: LanguageModel) -> None:
    good = exact_transcoder(tiny_llama)
    report = check(tiny_llama, good, good.hook_name, prepend_bos=True)
    assert good.W_skip is not None
    turned = check(tiny_llama, replace(good, W_skip=-good.W_skip), good.hook_name, prepend_bos=True)

    def figure(report: TrustReport, word: str) -> float:
        return next(finding.value for finding in report.findings if word in finding.name.lower())

    assert figure(report, "variance") > figure(turned, "variance") + 0.5
    assert 0.3 < figure(report, "norm") < 1.5


def test_a_transcoders_reconstruction_is_put_where_it_writes(tiny_llama: LanguageModel) -> None:
    """CE with the transcoder is the loss of the model whose MLP output is what the transcoder predicts."""
    from saewidgets.analysis.fit import cross_entropies, cross_entropy

    sae = random_sae(**TRANSCODER)
    ids = torch.arange(60).reshape(2, 30) * 3 % 200
    x = capture(tiny_llama, ids, sae.hook_name)
    keep = torch.ones(2, 30, dtype=torch.bool)
    _, with_sae, _ = cross_entropies(tiny_llama, sae, ids, sae.hook_name_out, keep, sae.b_dec, x)
    made = sae.reconstruct(x)
    wanted = cross_entropy(logits_with(tiny_llama, ids, sae.hook_name_out, lambda y: made), ids)
    assert with_sae == pytest.approx(wanted)


def test_a_transcoder_of_another_width_is_refused(tiny_llama: LanguageModel) -> None:
    sae = random_sae(d_out=D // 2, **TRANSCODER)
    with pytest.raises(ValueError, match="this transcoder writes d_out=16"):
        sw.load(tiny_llama, sae=sae)


def test_any_object_can_be_looked_at_and_steered(tiny_llama: LanguageModel) -> None:
    from types import SimpleNamespace

    ours = random_sae(hook_name="blocks.1.hook_resid_post")
    theirs = SimpleNamespace(
        encode=lambda x: ours.encode(x).dense(48), decode=lambda acts: acts @ ours.W_dec + ours.b_dec, W_dec=ours.W_dec
    )
    s, t = (sw.load(tiny_llama, sae=sae, hook_name=ours.hook_name) for sae in (ours, theirs))
    assert t.tokens("The bridge").equals(s.tokens("The bridge"))
    s._maxima = t._maxima = np.full(48, 3.0, np.float32)
    strengths = {7: 10.0}
    assert t.generate("The", strengths, chat=False, max_new_tokens=6) == s.generate(
        "The", strengths, chat=False, max_new_tokens=6
    )
    assert t.trust().findings[1].value == pytest.approx(s.trust().findings[1].value, abs=1e-5)
