"""Planted directions and what was learnt of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RECOVERED = 0.95
"""From this cosine on a planted direction counts as recovered."""


@dataclass(frozen=True, eq=False)
class ToyState:
    """Planted directions and what a dictionary has learnt of them at one moment of its training.

    Attributes:
        true_directions: float32 ``[n_features, d_in]``, unit vectors.
        decoder: float32 ``[d_sae, d_in]``, decoder rows at unit length.
        cosine: float32 ``[n_features, d_sae]``, of every planted direction with every decoder row.
        matched: float32 ``[n_features]``, the largest cosine of each planted direction.
        frequency: float32 ``[n_features]``, the share of samples in which each planted feature is active.
        points: float32 ``[n, d_in]``, a few samples to draw where d_in is 2, or None.
    """

    true_directions: np.ndarray
    decoder: np.ndarray
    cosine: np.ndarray
    matched: np.ndarray
    frequency: np.ndarray
    points: np.ndarray | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """One row a planted direction: feature, frequency, best_sae_feature, cosine, recovered."""
        import pandas as pd

        return pd.DataFrame(
            {
                "feature": np.arange(len(self.matched)),
                "frequency": self.frequency,
                "best_sae_feature": self.cosine.argmax(axis=1),
                "cosine": self.matched,
                "recovered": self.matched >= RECOVERED,
            }
        )
