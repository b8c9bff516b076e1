"""Maxima and the built-in sample against loops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from saewidgets.analysis import maxima as analysis_maxima
from saewidgets.analysis.maxima import maxima, sample_maxima
from saewidgets.analysis.sample import passages, token_blocks
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"


@torch.inference_mode()
def brute_maxima(model: LanguageModel, sae: SparseAutoencoder, ids: torch.Tensor, has_bos: bool) -> np.ndarray:
    """One position at a time; massive norms and BOS left out."""
    best = np.zeros(sae.d_sae)
    for row in ids:
        x = model.module(input_ids=row[None], output_hidden_states=True).hidden_states[3][0]
        norms = x.norm(dim=1)
        typical = norms.sort().values[(len(norms) - 1) // 2]
        for place in range(len(row)):
            if (place == 0 and has_bos) or norms[place] > 10 * typical:
                continue
            best = np.maximum(best, sae.encode(x[place]).dense(sae.d_sae).numpy())
    return best


def test_maxima_of_tensors(any_sae: SparseAutoencoder) -> None:
    parts = [torch.randn(n, 32, generator=torch.Generator().manual_seed(n)) for n in (1, 7, 20)]
    expected = np.max([any_sae.encode(x).dense(48).max(0).values.numpy() for x in parts], axis=0)
    found = maxima(iter(parts), any_sae)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32 and found.shape == (48,)


def test_nothing_seen_is_zero_everywhere(tiny_sae: SparseAutoencoder) -> None:
    assert maxima([], tiny_sae).tolist() == [0.0] * 48
    assert maxima([torch.zeros(0, 32)], tiny_sae).tolist() == [0.0] * 48


@pytest.mark.parametrize("prepend_bos", [True, False])
def test_maxima_on_the_sample(
    spiky_llama: LanguageModel, tiny_sae: SparseAutoencoder, monkeypatch: pytest.MonkeyPatch, prepend_bos: bool
) -> None:
    monkeypatch.setattr(analysis_maxima, "SAMPLE_TOKENS", 10 * 128)
    ids = token_blocks(spiky_llama, 10 * 128, prepend_bos)
    ids[3, 5] = spiky_llama.tokens("Z", prepend_bos=False).ids[0]
    monkeypatch.setattr(analysis_maxima, "token_blocks", lambda *_: ids)
    expected = brute_maxima(spiky_llama, tiny_sae, ids, prepend_bos)
    found = sample_maxima(spiky_llama, tiny_sae, HOOK, prepend_bos)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.max() > 0


def test_without_a_bos_position_0_counts(
    new_llama: Callable[..., Any], bosless_tokenizer: Any, tiny_sae: SparseAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis_maxima, "SAMPLE_TOKENS", 4 * 128)
    model = LanguageModel(new_llama(), bosless_tokenizer, "bosless")
    ids = token_blocks(model, 4 * 128, True)
    expected = brute_maxima(model, tiny_sae, ids, has_bos=False)
    np.testing.assert_allclose(sample_maxima(model, tiny_sae, HOOK, True), expected, atol=1e-4)


def test_stop(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        sample_maxima(tiny_llama, tiny_sae, HOOK, True, stop)


def test_the_sample_is_there_and_clean() -> None:
    found = passages()
    assert len(found) > 20
    assert all(passage == passage.strip() and passage for passage in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("prepend_bos", [True, False])
def test_blocks_are_the_beginnings_of_passages(tiny_gpt2: LanguageModel, prepend_bos: bool) -> None:
    blocks = token_blocks(tiny_gpt2, 5 * 64, prepend_bos, length=64)
    assert blocks.dtype == torch.int64 and blocks.shape == (5, 64)
    long = [ids for text in passages() if len(ids := tiny_gpt2.tokens(text, prepend_bos).ids) >= 64]
    assert blocks.tolist() == [list(ids[:64]) for ids in long[:5]]


def test_blocks_never_exceed_the_context(tiny_gpt2: LanguageModel) -> None:
    assert token_blocks(tiny_gpt2, 1000, True, length=5000).shape[1] == tiny_gpt2.context


def test_all_of_the_sample_when_more_is_asked_for(tiny_gpt2: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from saewidgets.analysis import sample

    monkeypatch.setattr(sample, "passages", lambda: ("bridge " * 60, "too short", "ferry " * 60))
    assert token_blocks(tiny_gpt2, 10_000, True, length=32).shape == (2, 32)
