"""How good an SAE is on given texts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from saewidgets.records.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """How good an SAE is on given texts: every position but the first of each window, no outlier filter.

    How each figure compares with SAELens' of the same name: `saewidgets.analysis.evaluate`.

    Attributes:
        l0: active features a token.
        fvu: Σ‖x − x̂‖² / Σ‖x − mean(x)‖²; for a transcoder x is what it should write.
        mse: ‖x − x̂‖², summed over d, averaged over tokens.
        cosine: mean cosine between x and x̂.
        ce_bare: next-token loss of the model as it is, in nats, on ``n_loss_tokens``.
        ce_sae: with x̂ in place of x.
        ce_zero: with zeros in place of x, at the first position too.
        ce_mean: with the mean of x in place of x.
        kl: KL(bare ‖ with the SAE) of the next-token distribution, in nats.
        counts: int64 ``[d_sae]``, tokens each feature fired on.
        max_activation: float32 ``[d_sae]``, largest feature_acts · ‖W_dec‖; 0 where silent.
        nearest_feature: int64 ``[d_sae]``, whose decoder direction has the largest cosine with a feature's.
        nearest_cosine: float32 ``[d_sae]``, that cosine.
        n_tokens: tokens counted.
        n_loss_tokens: of these, tokens the losses were measured on.
        n_texts: texts they came from.
        n_skipped: texts of less than two tokens.
    """

    l0: float
    fvu: float
    mse: float
    cosine: float
    ce_bare: float
    ce_sae: float
    ce_zero: float
    ce_mean: float
    kl: float
    counts: np.ndarray
    max_activation: np.ndarray
    nearest_feature: np.ndarray
    nearest_cosine: np.ndarray
    n_tokens: int
    n_loss_tokens: int
    n_texts: int
    n_skipped: int
    provenance: Provenance = field(default_factory=Provenance)

    def __repr__(self) -> str:
        frame = self.frame
        rows = [f"  {name:<32}{value:>12.4f}  {unit}" for name, value, unit in frame.itertuples(index=False)]
        skipped = f" ({self.n_skipped:,} too short)" if self.n_skipped else ""
        place = f"{self.provenance} · {self.n_tokens:,} tokens of {self.n_texts:,} texts{skipped}"
        return "\n".join(["Evaluation", f"  {place}", *rows])

    @property
    def variance_explained(self) -> float:
        """1 − FVU, mean-centred."""
        return 1.0 - self.fvu

    @property
    def ce_recovered_zero(self) -> float:
        """(CE_zero − CE_sae) / (CE_zero − CE_bare): 1 = nothing lost."""
        return ce_recovered(self.ce_bare, self.ce_sae, self.ce_zero)

    @property
    def ce_recovered_mean(self) -> float:
        """(CE_mean − CE_sae) / (CE_mean − CE_bare): the stricter of the two."""
        return ce_recovered(self.ce_bare, self.ce_sae, self.ce_mean)

    @property
    def density(self) -> np.ndarray:
        """Share of tokens each feature fires on, float64 ``[d_sae]``."""
        return self.counts / self.n_tokens

    @property
    def dead(self) -> int:
        """Features that fired on none of these tokens; some may just be rare."""
        return int((self.counts == 0).sum())

    @property
    def density_histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Features by log10 of their density, dead ones left out: counts, and edges a quarter of a decade apart."""
        decades = max(1, math.ceil(math.log10(self.n_tokens)))
        live = np.log10(self.counts[self.counts > 0]) - math.log10(self.n_tokens)
        return np.histogram(np.clip(live, -decades, 0), np.linspace(-decades, 0, 4 * decades + 1))

    @property
    def cosine_histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Features by the cosine with their nearest other feature: counts, and edges from −1 to 1, 0.05 apart."""
        return np.histogram(self.nearest_cosine, np.linspace(-1, 1, 41))

    @property
    def cosine_quantiles(self) -> dict[float, float]:
        """Quantiles over features of the cosine with the nearest other feature."""
        at = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
        return {q: float(np.quantile(self.nearest_cosine, q)) for q in at}

    @property
    def frame(self) -> pd.DataFrame:
        """One row a figure: name, value, unit."""
        import pandas as pd

        near = self.cosine_quantiles
        live = np.log10(self.density[self.counts > 0]) if self.dead < len(self.counts) else [math.nan]
        loss = f"nats a token, {self.n_loss_tokens:,} tokens"
        rows = [
            ("L0", self.l0, "active features a token"),
            ("FVU", self.fvu, "share of the variance around the mean left unexplained"),
            ("Variance explained", self.variance_explained, "1 − FVU"),
            ("MSE", self.mse, "squared error a token, summed over d"),
            ("Cosine", self.cosine, "mean cosine of x and its reconstruction"),
            ("CE bare", self.ce_bare, loss),
            ("CE with SAE", self.ce_sae, loss),
            ("CE zero-ablated", self.ce_zero, f"{loss}, first position too"),
            ("CE mean-ablated", self.ce_mean, loss),
            ("CE recovered, zero-ablation", self.ce_recovered_zero, "1 = nothing lost"),
            ("CE recovered, mean-ablation", self.ce_recovered_mean, "1 = nothing lost"),
            ("KL", self.kl, f"bare against with SAE, {loss}"),
            ("Dead features", self.dead, "silent on these tokens"),
            ("Dead share", self.dead / len(self.counts), "of all features"),
            ("Density, median", float(np.median(live)), "log10 share of tokens, of live features"),
            ("Nearest decoder cosine, median", near[0.5], "over features"),
            ("Nearest decoder cosine, 95 %", near[0.95], "over features"),
            ("Nearest decoder cosine, largest", near[1.0], "over features"),
        ]
        return pd.DataFrame(rows, columns=["name", "value", "unit"]).astype({"value": float})

    @property
    def features(self) -> pd.DataFrame:
        """One row a feature: feature, density, max_activation, nearest_feature, nearest_cosine."""
        import pandas as pd

        return pd.DataFrame(
            {
                "feature": np.arange(len(self.counts)),
                "density": self.density,
                "max_activation": self.max_activation,
                "nearest_feature": self.nearest_feature,
                "nearest_cosine": self.nearest_cosine,
            }
        )


def ce_recovered(bare: float, with_sae: float, ablated: float) -> float:
    """(CE_ablated − CE_sae) / (CE_ablated − CE_bare): 1 = nothing lost, 0 = no better than the ablation."""
    return (ablated - with_sae) / (ablated - bare) if abs(ablated - bare) > 1e-6 else math.nan
