"""Logit weights against the norm's own formula, on norms of every kind."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from saewidgets.analysis.logits import Unembedding, _diagonal, has_logit_weights, usual_tokens
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder


def shaken(model: LanguageModel, norm: str) -> LanguageModel:
    """The same model with a final norm that has something to show."""
    module = copy.deepcopy(model.module)
    with torch.no_grad():
        for parameter in module.get_submodule(norm).parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 2
    return LanguageModel(module, model.tokenizer, model.name)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_weights_by_hand(kind: str, request: pytest.FixtureRequest, tiny_sae: SparseAutoencoder) -> None:
    norm = {"llama": "model.norm", "gpt2": "transformer.ln_f"}[kind]
    model = shaken(request.getfixturevalue(f"tiny_{kind}"), norm)
    module: Any = model.module
    found = Unembedding(model)
    usual = usual_tokens(model)
    special = model.tokenizer.all_special_ids
    assert not usual[special].any() and usual.sum() == len(model.tokenizer) - len(special)
    weights = found.weights(tiny_sae.W_dec)
    for feature in range(0, tiny_sae.d_sae, 7):
        direction = tiny_sae.W_dec[feature]
        if kind == "gpt2":
            direction = direction - direction.mean()
        logits = (module.lm_head.weight @ (direction * module.get_submodule(norm).weight)).detach().numpy()[usual]
        expected = logits - np.sort(logits)[(len(logits) - 1) // 2]
        np.testing.assert_allclose(weights[feature].numpy(), expected, atol=2e-3 * np.abs(expected).max())
        assert (np.sort(weights[feature].numpy())[(len(logits) - 1) // 2]) == 0


def test_the_strongest_tokens_on_either_side(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    counted = np.zeros(len(tiny_llama.tokenizer), bool)
    counted[5:60] = True
    unembedding = Unembedding(tiny_llama, counted)
    weights, top = unembedding.weights(tiny_sae.W_dec).numpy(), unembedding.top(tiny_sae.W_dec, 4)
    for feature in range(tiny_sae.d_sae):
        order = np.argsort(-weights[feature])
        assert top.up[feature].tolist() == (order[:4] + 5).tolist()
        assert top.down[feature].tolist() == (order[::-1][:4] + 5).tolist()
        np.testing.assert_array_equal(top.up_weight[feature], weights[feature][order[:4]])
        np.testing.assert_array_equal(top.down_weight[feature], weights[feature][order[::-1][:4]])


class OnePlus(torch.nn.Module):
    """RMSNorm as Gemma spells it: the scale is 1 + weight."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


@pytest.mark.parametrize("d", [32, 33])
def test_norms_of_every_spelling(d: int) -> None:
    weight, unembed = torch.randn(d, generator=torch.Generator().manual_seed(1)), torch.zeros(3, d)
    scale, centres = _diagonal(OnePlus(weight), unembed)
    assert not centres
    torch.testing.assert_close(scale, 1 + weight, rtol=1e-3, atol=1e-3)
    rms = torch.nn.RMSNorm(d, eps=1e-6)
    layer = torch.nn.LayerNorm(d)
    with torch.no_grad():
        rms.weight.copy_(weight)
        layer.weight.copy_(weight)
        layer.bias.copy_(weight.flip(0))
    scale, centres = _diagonal(rms, unembed)
    assert not centres
    torch.testing.assert_close(scale, weight, rtol=1e-3, atol=1e-3)
    scale, centres = _diagonal(layer, unembed)
    assert centres
    torch.testing.assert_close(scale, weight, rtol=2e-3, atol=2e-3)


def test_a_decoder_that_does_not_write_to_the_stream(tiny_llama: LanguageModel, make_sae: Any) -> None:
    assert has_logit_weights(tiny_llama, make_sae("topk"))
    assert not has_logit_weights(tiny_llama, make_sae("topk", d_in=64))


def test_by_chance_is_what_random_directions_reach(tiny_llama: LanguageModel) -> None:
    unembedding = Unembedding(tiny_llama)
    random = torch.randn(512, tiny_llama.d_model, generator=torch.Generator().manual_seed(0))
    highest = [float(unembedding.weights(x / x.norm()).max()) for x in random]
    assert unembedding.by_chance() == pytest.approx(np.quantile(highest, 0.99), rel=1e-4)
    assert unembedding.by_chance(share=0.5) < unembedding.by_chance()
