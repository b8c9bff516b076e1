"""Logit effects as short vectors, against the logits themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saewidgets.geometry import logit
from saewidgets.geometry.logit import logit_effects, logit_medians
from saewidgets.geometry.similarity import Cosine

from . import brute


@pytest.mark.parametrize("vocab", [50, 51])
@pytest.mark.parametrize("chunk", [100, 1 << 24])
def test_cosines_are_those_of_the_median_centred_logits(
    vocab: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logit, "CHUNK", chunk)
    noise = torch.Generator().manual_seed(3)
    W_dec = torch.randn(30, 8, generator=noise)
    W_dec[4] = 0
    W_U = torch.randn(8, vocab, generator=noise).exp() - 0.2  # skewed: mean and median differ
    medians = logit_medians(W_dec, W_U)
    logits = (W_dec.double() @ W_U.double()).numpy()
    lower_middle = np.sort(logits, axis=1)[:, (vocab - 1) // 2]
    np.testing.assert_allclose(medians, lower_middle, atol=1e-5)
    found = Cosine(logit_effects(W_dec, W_U, medians)).of(torch.arange(30)).numpy()
    expected = brute.cosines(logits - lower_middle[:, None])
    live = np.arange(30) != 4
    np.testing.assert_allclose(found[np.ix_(live, live)], expected[np.ix_(live, live)], atol=1e-5)
    mean_centred = brute.cosines(logits - logits.mean(1, keepdims=True))
    assert np.abs(expected - mean_centred)[np.ix_(live, live)].max() > 0.05  # the centring matters here


def test_fewer_tokens_than_dimensions() -> None:
    W_dec, W_U = torch.randn(6, 9, generator=torch.Generator().manual_seed(0)), torch.eye(9)[:, :5]
    found = Cosine(logit_effects(W_dec, W_U, logit_medians(W_dec, W_U))).of(torch.arange(6))
    logits = (W_dec @ W_U).numpy()
    np.testing.assert_allclose(found, brute.cosines(logits - np.median(logits, axis=1, keepdims=True)), atol=1e-5)
