"""Neurons against numpy's own correlation, window by window through Hugging Face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from saewidgets.analysis import neurons
from saewidgets.analysis.neurons import neuron_correlations, neuron_hook
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
TEXTS = [
    "The bridge over the river is golden.",
    "A ferry was late, and the old bridge was closed.",
    "def f(x): return x",
]


@torch.inference_mode()
def by_hand(model: LanguageModel, sae: SparseAutoencoder, windows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Features ``[n, d_sae]`` and neurons ``[n, d_mlp]`` on every token but BOS."""
    post: list[torch.Tensor] = []
    handle = model.module.model.layers[2].mlp.down_proj.register_forward_pre_hook(lambda _, args: post.append(args[0]))
    try:
        acts = []
        for ids in windows:
            out = model.module(input_ids=torch.from_numpy(ids)[None], output_hidden_states=True)
            acts.append(sae.encode(out.hidden_states[3][0, 1:]).dense(sae.d_sae))
    finally:
        handle.remove()
    return torch.cat(acts).numpy(), torch.cat([part[0, 1:] for part in post]).numpy()


@pytest.mark.parametrize("at_once", [1024, 7])
def test_the_best_neurons(
    tiny_llama: LanguageModel,
    make_sae: Callable[..., SparseAutoencoder],
    monkeypatch: pytest.MonkeyPatch,
    hooks_on: Callable[..., int],
    at_once: int,
) -> None:
    monkeypatch.setattr(neurons, "FEATURES", at_once)
    sae = make_sae("jumprelu", hook_name=HOOK)
    windows = [np.array(tiny_llama.tokens(text).ids) for text in TEXTS]
    acts, post = by_hand(tiny_llama, sae, windows)
    before = hooks_on(tiny_llama.module)  # transformers leaves some of its own when asked for hidden states
    found, correlations = neuron_correlations(tiny_llama, sae, HOOK, windows)
    assert hooks_on(tiny_llama.module) == before
    seen = 0
    for feature in range(sae.d_sae):
        if (acts[:, feature] > 0).sum() < 3:
            assert (found[feature] == -1).all() and (correlations[feature] == 0).all()
            continue
        expected = np.array([np.corrcoef(acts[:, feature], post[:, n])[0, 1] for n in range(post.shape[1])])
        best = np.argsort(-np.abs(expected), kind="stable")[:5]
        np.testing.assert_allclose(correlations[feature], expected[best], atol=1e-4)
        np.testing.assert_allclose(expected[found[feature]], expected[best], atol=1e-4)
        seen += 1
    assert seen > 5


def test_a_hook_outside_any_layer_has_no_neurons(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    assert neuron_hook(tiny_llama, "hook_embed") is None
    assert neuron_hook(tiny_llama, HOOK) == "blocks.2.mlp.hook_post"
    found, correlations = neuron_correlations(tiny_llama, tiny_sae, "hook_embed", [np.array([0, 5])])
    assert (found == -1).all() and (correlations == 0).all()
