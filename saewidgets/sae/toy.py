"""A world whose dictionary is known: sparse features in superposition, to see whether training finds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

READ = 1024  # samples a read
_WORLD = 7_919_000_003  # added to a seed: a training of the same seed must not begin at the planted directions


@dataclass(frozen=True, eq=False)
class Planted:
    """More features than dimensions: x = Σ a_i · directions[i], where few a_i are not zero.

    The model of Elhage et al. 2022, *Toy Models of Superposition* (arXiv:2209.10652 §2), with given directions.

    Attributes:
        directions: unit rows ``[n_features, d_in]``.
        frequency: ``[n_features]``, how often each feature is active.
    """

    directions: Tensor
    frequency: Tensor

    @property
    def active(self) -> float:
        """Mean number of active features a sample."""
        return float(self.frequency.sum())

    def sample(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Samples ``x [count, d_in]`` and their true feature_acts ``[count, n_features]``, 0 or from 0.5 to 1.5."""
        generator = torch.Generator().manual_seed(seed)
        shape = (count, len(self.directions))
        on = torch.rand(shape, generator=generator) < self.frequency
        acts = on * (0.5 + torch.rand(shape, generator=generator))
        return acts @ self.directions, acts

    def cosine(self, decoder: Tensor) -> Tensor:
        """``[n_features, d_sae]``: cosine of every planted direction with every learnt one."""
        return self.directions @ (decoder / decoder.norm(dim=1, keepdim=True).clamp_min(1e-12)).T


def planted(n_features: int, d_in: int, *, active: float = 1.0, skew: float = 0.0, seed: int = 0) -> Planted:
    """A planted dictionary.

    In two dimensions the directions are spaced evenly on the circle, where they can be seen; else they are random.

    Args:
        n_features: how many; more than ``d_in`` means superposition.
        d_in: dimensions of the space.
        active: mean number of features active at once.
        skew: 0 makes all features equally frequent; 1 makes the i-th as frequent as 1/i (Zipf).
        seed: of the directions.

    Raises:
        ValueError: when a number is out of range.

    Example:
        >>> planted(64, 32).sample(5, seed=0)[0].shape
        torch.Size([5, 32])
    """
    if n_features < 2 or d_in < 2 or not 0 < active < n_features or not skew >= 0:
        raise ValueError(
            "a toy needs n_features ≥ 2, d_in ≥ 2, 0 < active < n_features and skew ≥ 0, got "
            f"n_features={n_features}, d_in={d_in}, active={active:g}, skew={skew:g}"
        )
    if d_in == 2:
        angle = torch.arange(n_features) * (2 * torch.pi / n_features) + torch.pi / 2
        directions = torch.stack([angle.cos(), angle.sin()], 1)
    else:
        directions = torch.randn(n_features, d_in, generator=torch.Generator().manual_seed(seed + _WORLD))
        directions /= directions.norm(dim=1, keepdim=True)
    weight = torch.arange(1, n_features + 1, dtype=torch.float32) ** -skew
    return Planted(directions, (weight / weight.sum() * active).clamp(max=0.9))


class PlantedSource:
    """Samples of a planted dictionary as a `Source` for training; it never ends."""

    def __init__(self, toy: Planted, seed: int = 0) -> None:
        self.toy, self.seed, self.reads = toy, seed, 0

    def read(self) -> Tensor:
        """The next 1 024 samples in which something is active."""
        x, _ = self.toy.sample(READ, seed=self.seed * 1_000_003 + self.reads)
        self.reads += 1
        return x[x.square().sum(1) > 0]

    def place(self) -> dict[str, Any]:
        """Where reading stands."""
        return {"reads": self.reads}

    def go_to(self, place: dict[str, Any]) -> None:
        """Continue from a `place`."""
        self.reads = place["reads"]
