"""Overlaps and rank correlations, against SciPy and sets."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import torch

from saewidgets.geometry import agreement as module
from saewidgets.geometry.agreement import agreement, overlap
from saewidgets.geometry.neighbors import nearest
from saewidgets.geometry.similarity import Cosine, Phi


def dictionary(n: int = 40, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Vectors in groups of four, and firings in which the members of a group go together."""
    noise = torch.Generator().manual_seed(seed)
    group = torch.arange(n) // 4
    x = torch.randn(n // 4, 16, generator=noise)[group] + 0.5 * torch.randn(n, 16, generator=noise)
    on = torch.rand(2000, n // 4, generator=noise)[:, group] < 0.1
    return x, (on & (torch.rand(2000, n, generator=noise) < 0.7)).numpy()


def test_overlap_is_the_share_of_the_sets() -> None:
    x, y = dictionary()
    x[6] = 0
    one, other = nearest(Cosine(x), 7), nearest(Phi(scipy.sparse.csr_array(y)), 7)
    found = overlap(one, other, 5)
    for feature in range(len(x)):
        if feature == 6:
            assert np.isnan(found[feature])
            continue
        shared = set(one.indices[feature, :5].tolist()) & set(other.indices[feature, :5].tolist())
        assert found[feature] == pytest.approx(len(shared) / 5)


def test_spearman_is_scipys_and_beats_the_null_where_it_should() -> None:
    x, y = dictionary()
    one, other = Cosine(x), Phi(scipy.sparse.csr_array(y))
    found = agreement(one, other, permutations=50)
    above = np.triu_indices(len(x), 1)
    everyone = torch.arange(len(x))
    expected = scipy.stats.spearmanr(one.of(everyone).numpy()[above], other.of(everyone).numpy()[above])
    assert found.spearman == pytest.approx(expected.statistic, abs=1e-9)  # type: ignore[union-attr]
    assert found.n_features == len(x)
    assert found.spearman > found.null.max()
    assert found.p == pytest.approx(1 / 51)
    assert abs(found.null.mean()) < 0.1


def test_no_agreement_where_there_is_none() -> None:
    x, y = dictionary()
    mixed = y[:, np.random.default_rng(1).permutation(y.shape[1])]
    found = agreement(Cosine(x), Phi(scipy.sparse.csr_array(mixed)), permutations=50)
    assert found.p > 0.05


def test_a_sample_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 20)
    x, y = dictionary()
    y[:, 0] = False
    one, other = Cosine(x), Phi(scipy.sparse.csr_array(y))
    first, again = agreement(one, other, permutations=5), agreement(one, other, permutations=5)
    assert first.spearman == again.spearman
    np.testing.assert_array_equal(first.null, again.null)
    assert first.n_features == 20


def test_too_few_features_are_refused() -> None:
    with pytest.raises(ValueError, match="only 4 features"):
        agreement(Cosine(torch.eye(4)), Cosine(torch.eye(4)))
