"""A sweep: what is in it, and that its rows are what each alone would be."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from saewidgets.analysis.promoted import common_tokens, promoted_tokens, promoters
from saewidgets.analysis.sample import passages
from saewidgets.analysis.steer import Units
from saewidgets.analysis.sweep import Controls, asking, control_feature, sweep
from saewidgets.analysis.write import Steerer, Style
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sampling import Sampling
from saewidgets.lm.worker import Stopped
from saewidgets.records import clamp
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
STYLE = Style(Sampling(1.0, seed=2), max_new_tokens=10)


@pytest.fixture
def steerer(tiny: LanguageModel, any_sae: SparseAutoencoder) -> Steerer:
    return Steerer(tiny, any_sae, HOOK, Units(np.full(48, 2.0, np.float32), 5.0))


def test_the_rows_of_a_sweep(steerer: Steerer) -> None:
    prompt = steerer.model.tokens("The bridge")
    asked = steerer.model.tokens("The bridge over the river and more")
    told: list[float] = []
    found = sweep(
        steerer, prompt, 3, [2.0, 0.0, -1.0, 4.0, 2.0], Controls(7, asked, 1), style=STYLE, progress=told.append
    )
    kinds = [(r.kind, r.strength) for r in found.rows]
    steered = [("steered", m) for m in (-1.0, 0.0, 2.0, 4.0)]
    controls = [(kind, m) for kind in ("random", "control") for m in (2.0, 4.0)]
    assert kinds == [("bare", None), *steered, *controls, ("prompt", None)]
    assert told == sorted(told) and told[-1] == 1.0
    assert (found.feature, found.control_feature, len(found.promoted)) == (3, 7, 10)
    for one in found.rows:
        assert one.steered.features == (3,)
        assert one.steered.n_prompt == len(asked.ids if one.kind == "prompt" else prompt.ids)
        assert one.steered.modified.any() == (one.kind not in ("bare", "prompt"))
        assert np.isnan(one.steered.requested).all() == (one.kind != "steered")
        readings = one.steered.readback[one.steered.n_prompt : -1, 0]
        assert one.readback == pytest.approx(float(readings.mean()), abs=1e-6)
    bare = found.rows[0]
    assert (bare.kl, bare.delta_logprob, bare.first_divergence) == (0.0, 0.0, None)
    assert all(one.perplexity >= 1 and 0 <= one.repetition <= 1 for one in found.rows)


def test_every_row_is_what_it_would_be_alone(steerer: Steerer) -> None:
    prompt = steerer.model.tokens("The bridge")
    found = sweep(steerer, prompt, 3, [1.0, 6.0], style=STYLE)
    for one in found.rows:
        changes = () if one.kind == "bare" else (clamp(3, one.strength or 0.0),)
        if one.kind != "random":
            assert steerer.write([prompt], [changes], STYLE)[0].steered.text == one.text


def test_without_controls(steerer: Steerer) -> None:
    found = sweep(steerer, steerer.model.tokens("The"), 3, [0.5], Controls(seed=None), kind="add", style=STYLE)
    assert [r.kind for r in found.rows] == ["bare", "steered"]
    assert found.intervention == "add" and found.control_feature is None


def test_no_strengths(steerer: Steerer) -> None:
    with pytest.raises(ValueError, match="no strengths were given"):
        sweep(steerer, steerer.model.tokens("The"), 3, [])


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_an_impossible_strength(steerer: Steerer, strength: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        sweep(steerer, steerer.model.tokens("The"), 3, [1.0, strength])


def test_stop(steerer: Steerer, hooks_on: Any) -> None:
    before, stop = hooks_on(steerer.model.module), threading.Event()

    def progress(share: float) -> None:
        stop.set()

    with pytest.raises(Stopped):
        sweep(steerer, steerer.model.tokens("The"), 3, [1.0], style=STYLE, stop=stop, progress=progress)
    assert hooks_on(steerer.model.module) == before


def test_the_control_feature_fires_about_as_often_and_points_elsewhere(make_sae: Any) -> None:
    sae = make_sae("relu", d_sae=400)
    rng = np.random.default_rng(0)
    density, maxima = 10 ** rng.uniform(-5, -1, 400), np.ones(400, np.float32)
    density[:40], maxima[40:60] = 0.0, 0.0
    cosine = torch.cosine_similarity(sae.W_dec.unsqueeze(0), sae.W_dec.unsqueeze(1), dim=-1).numpy()
    for feature in (100, 200, 5):
        found = control_feature(sae, feature, density, maxima)
        assert found is not None and found != feature and found >= 60
        assert abs(cosine[feature, found]) <= 0.2
        own = density[feature] or density[density > 0].min()
        usable = [f for f in range(60, 400) if abs(cosine[feature, f]) <= 0.2 and f != feature]
        nearer = sum(abs(np.log(density[f] / own)) < abs(np.log(density[found] / own)) for f in usable)
        assert nearer < 16
        assert control_feature(sae, feature, density, maxima) == found
    assert control_feature(sae, 100, np.zeros(400), maxima) is None


def test_promoted_tokens_are_those_the_unembedding_raises(tiny: LanguageModel, any_sae: SparseAutoencoder) -> None:
    """By the definition: direction → norm weight (mean subtracted by a LayerNorm) → unembedding."""
    module = tiny.module
    norm = module.model.norm if "llama" in tiny.name else module.transformer.ln_f
    direction = any_sae.W_dec[[3, 20]].double()
    if "gpt2" in tiny.name:
        direction = direction - direction.mean(-1, keepdim=True)
    logits = (direction * norm.weight.double()) @ module.get_output_embeddings().weight.double().T
    everything = torch.arange(logits.shape[1])
    assert promoted_tokens(tiny, any_sae, [3, 20], 5, everything).tolist() == logits.topk(5).indices.tolist()
    common = {token for text in passages() for token in tiny.tokens(text, prepend_bos=False).ids}
    assert common_tokens(tiny).tolist() == sorted(common) and 0 not in common
    rare = torch.tensor([token not in common for token in range(logits.shape[1])])
    usual = logits.masked_fill(rare, float("-inf")).topk(5).indices.tolist()
    assert promoted_tokens(tiny, any_sae, [3, 20], 5).tolist() == usual
    (ferry,) = {tiny.tokenizer(" ferry")["input_ids"][0]}
    assert common_tokens(tiny, ["ferry"]).tolist() == sorted({*common, ferry})
    best = int(logits[0].argmax())
    assert float(promoters(tiny, any_sae, [best])[3]) > 1.5


def test_a_dictionary_of_another_width_has_no_promoted_tokens(tiny: LanguageModel, make_sae: Any) -> None:
    sae = make_sae(d_in=64, hook_name="blocks.2.mlp.hook_post")
    assert promoted_tokens(tiny, sae, [1, 2]).shape == (2, 0)
    assert not promoters(tiny, sae, [5]).any()


def test_asking_in_words() -> None:
    assert asking("Hello.", "bridges") == "Hello. Keep bringing in this: bridges."
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert asking(chat, "x") == [chat[0], {"role": "user", "content": "Hi Keep bringing in this: x."}]
