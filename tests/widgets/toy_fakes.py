"""Planted directions and a decoder that turns towards them: for tests of the panel only, it trains nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from training_fakes import FakeRun

from saewidgets.records import ToyState


class FakeToy:
    """A run and a view of it: every feature starts at random and turns to a direction, to rare ones later or never."""

    def __init__(self, n: int = 64, d_in: int = 20, d_sae: int = 96, *, rows: int = 100, found: int = 61, **run: Any):
        rng = np.random.default_rng(3)
        self.frequency = np.sort(0.12 * rng.random(n) ** 2 + 0.002)[rng.permutation(n)].astype(np.float32)
        self.true = unit(rng.standard_normal((n, d_in)))
        if d_in == 2:
            self.frequency = np.linspace(0.3, 0.08, n)[rng.permutation(n)].astype(np.float32)
            angle = 2 * np.pi * (np.arange(n) + 0.3) / n
            self.true = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self.begin = unit(rng.standard_normal((d_sae, d_in)))
        self.goal = self.begin.copy()
        rank = np.argsort(-self.frequency)
        self.features = rng.permutation(d_sae)[: min(n, d_sae)]
        self.when = np.full(d_sae, np.inf)
        for place, (planted, feature) in enumerate(zip(rank, self.features, strict=False)):
            if place < found:
                self.goal[feature] = self.true[planted] + 0.03 * rng.standard_normal(d_in) / np.sqrt(d_in)
                self.when[feature] = 0.05 + 0.7 * place / n
        self.points = (rng.random((1500, n)) < self.frequency) * rng.exponential(1, (1500, n)) @ self.true
        self.run = FakeRun(rows, total=rows * 500, d_sae=d_sae, title=f"toy · {n} in {d_in} · TopK 3", **run)
        self.looks = 0

    def view(self) -> ToyState:
        self.looks += 1
        share = self.run.shown / len(self.run.all)
        pull = np.clip((share - self.when) / 0.15, 0, 1)[:, None] if self.run.shown else np.zeros((len(self.when), 1))
        decoder = unit((1 - pull) * self.begin + pull * self.goal)
        cosine = (self.true @ decoder.T).astype(np.float32)
        points = self.points.astype(np.float32) if self.true.shape[1] == 2 else None
        return ToyState(
            self.true.astype(np.float32), decoder.astype(np.float32), cosine, cosine.max(axis=1), self.frequency, points
        )


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
