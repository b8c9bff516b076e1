"""The fuzzy graph against umap-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saewidgets.geometry.graph import fuzzy_graph
from saewidgets.geometry.neighbors import nearest
from saewidgets.geometry.similarity import Cosine


def umaps(indices: np.ndarray, distances: np.ndarray) -> np.ndarray:
    from umap.umap_ import fuzzy_simplicial_set

    near = np.column_stack([np.arange(len(indices)), indices])
    far = np.column_stack([np.zeros(len(indices)), distances]).astype(np.float32)
    found: Any = fuzzy_simplicial_set(
        near, near.shape[1], np.random.RandomState(0), "cosine", knn_indices=near, knn_dists=far
    )[0]
    return found.toarray()


def same(indices: np.ndarray, distances: np.ndarray) -> None:
    found = fuzzy_graph(indices, distances)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), umaps(indices, distances), atol=2e-5)


@pytest.mark.parametrize("k", [1, 2, 5, 14])
def test_of_a_dictionary(k: int) -> None:
    table = nearest(Cosine(torch.randn(120, 9, generator=torch.Generator().manual_seed(0))), k)
    same(table.indices, table.distances)


def test_duplicates_and_far_outliers() -> None:
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    x[:9] = x[0]  # more copies than neighbours
    x[20:23] = x[20]
    table = nearest(Cosine(x), 6)
    same(table.indices, table.distances.clip(0))
    same(table.indices, np.zeros_like(table.distances))
    same(table.indices, np.where(np.arange(60)[:, None] == 30, 1.9, table.distances.clip(0)))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.9]))
def test_of_any_distances(n: int, k: int, seed: int, zeros: float) -> None:
    noise, k = np.random.default_rng(seed), min(k, n - 1)
    indices = np.stack([noise.permutation(np.delete(np.arange(n), row))[:k] for row in range(n)])
    distances = np.sort(noise.exponential(0.3, (n, k)) * (noise.random((n, k)) >= zeros), axis=1)
    same(indices, distances)
