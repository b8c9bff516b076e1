"""Frozen results and requests that cross rooms: plain numpy and pandas, no torch, no widgets."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["green", "amber", "red"]
Scale = Literal["norm", "native"]


@dataclass(frozen=True)
class Provenance:
    """Where numbers come from: enough to say which model, SAE and hook made a view."""

    model: str = ""
    sae: str = ""
    hook_name: str = ""
    sae_hash: str = ""
    model_hash: str = ""

    def __str__(self) -> str:
        return " · ".join(part for part in (self.model, self.hook_name, self.sae) if part)


@dataclass(frozen=True, eq=False)
class TokenActs:
    """The features firing on every token of one or several texts.

    Rows of ``values`` and ``indices`` hold the active features of a token, strongest first (ties by feature
    number); unused places have value 0.

    Attributes:
        texts: the texts as given, one string each.
        str_tokens: one string a token; bytes that are only part of a character are written ``\\xF0``.
        text: int32 ``[n]``, which text a token belongs to.
        position: int32 ``[n]``, position of the token within its text, 0 = first (BOS counts).
        values: float32 ``[n, k]``, activations in the unit named by ``scale``.
        indices: int32 ``[n, k]``, feature numbers.
        skipped: bool ``[n]``, BOS and measured attention sinks: shown hatched, left out of scales and maxima.
        seams: positions in ``[0, n)`` where a new context window starts inside a text.
        split: token → (part from 1, parts, character) where a character is spread over several tokens.
        scale: ``"norm"`` = feature_acts · ‖W_dec‖ (comparable across features), ``"native"`` = feature_acts.
        d_sae: number of features of the SAE.
        maximum: float32 ``[d_sae]``, each feature's known maximum in the same unit, or None.
        labels: feature → label, where one is known.
    """

    texts: tuple[str, ...]
    str_tokens: tuple[str, ...]
    text: np.ndarray
    position: np.ndarray
    values: np.ndarray
    indices: np.ndarray
    skipped: np.ndarray
    d_sae: int
    seams: tuple[int, ...] = ()
    split: Mapping[int, tuple[int, int, str]] = field(default_factory=dict)
    scale: Scale = "norm"
    maximum: np.ndarray | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    def __len__(self) -> int:
        return len(self.str_tokens)

    @property
    def frame(self) -> pd.DataFrame:
        """One row an active (token, feature) pair: text, position, str_token, feature, activation."""
        import pandas as pd

        row, col = np.nonzero(self.values > 0)
        return pd.DataFrame(
            {
                "text": self.text[row],
                "position": self.position[row],
                "str_token": self._strings(row),
                "feature": self.indices[row, col],
                "activation": self.values[row, col],
            }
        )

    def _strings(self, rows: np.ndarray) -> pd.Series:
        import pandas as pd

        # Not pandas' str dtype: it refuses a lone surrogate, which a tokenizer's vocabulary may hold.
        return pd.Series([self.str_tokens[row] for row in rows], dtype=object)

    def feature_acts(self, feature: int) -> np.ndarray:
        """Activation of one feature on every token, float32 ``[n]``."""
        return np.where(self.indices == feature, self.values, 0.0).sum(axis=1, dtype=np.float32)

    def top_features(self, k: int = 20) -> pd.DataFrame:
        """The strongest features over all texts, one row each, at the token where they are strongest.

        Columns: feature, activation, text, position, str_token, count (tokens it fires on), label.

        Skipped tokens are left out; ties go to the lower feature number.
        """
        import pandas as pd

        row, col = np.nonzero((self.values > 0) & ~self.skipped[:, None])
        feature, value = self.indices[row, col], self.values[row, col]
        order = np.lexsort((row, feature, -value))
        row, feature, value = row[order], feature[order], value[order]
        _, first, count = np.unique(feature, return_index=True, return_counts=True)
        best = np.argsort(first)[:k]
        at = first[best]
        return pd.DataFrame(
            {
                "feature": feature[at],
                "activation": value[at],
                "text": self.text[row[at]],
                "position": self.position[row[at]],
                "str_token": self._strings(row[at]),
                "count": count[best],
                "label": [self.labels.get(int(f), "") for f in feature[at]],
            }
        )


@dataclass(frozen=True)
class Finding:
    """One line of the trust panel: what was measured, what is expected, how it was judged, the likely cause."""

    name: str
    value: float
    status: Status
    expected: str
    cause: str = ""


@dataclass(frozen=True)
class TrustReport:
    """Whether an SAE fits the model it is used on, as measured on a fixed sample of text."""

    findings: tuple[Finding, ...]
    n_tokens: int
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def status(self) -> Status:
        """The worst status among the findings."""
        found = {finding.status for finding in self.findings}
        return "red" if "red" in found else "amber" if "amber" in found else "green"

    @property
    def summary(self) -> str:
        """One line: the verdict and, where it is not green, the likeliest cause."""
        if self.status == "green":
            return "This SAE fits this model."
        causes = [f.cause for f in self.findings if f.status == self.status and f.cause]
        lead = "This SAE does not fit this model" if self.status == "red" else "This SAE may not fit this model"
        return f"{lead}: {causes[0]}" if causes else f"{lead}."

    @property
    def frame(self) -> pd.DataFrame:
        """One row a finding: name, value, status, expected, cause."""
        import pandas as pd

        rows = [(f.name, f.value, f.status, f.expected, f.cause) for f in self.findings]
        return pd.DataFrame(rows, columns=["name", "value", "status", "expected", "cause"])


@dataclass(frozen=True)
class Intervention:
    """A change to one feature inside the SAE, the error term kept; see `clamp`.

    Attributes:
        feature: feature number.
        strength: multiples of the feature's maximum (1.0 = the strongest it was ever seen; 0 = ablated).
        kind: ``"clamp"``.
    """

    feature: int
    strength: float
    kind: Literal["clamp"] = "clamp"

    def __post_init__(self) -> None:
        is_number = isinstance(self.feature, numbers.Real) and not isinstance(self.feature, bool)
        if not is_number or not float(self.feature).is_integer() or self.feature < 0:
            raise ValueError(f"feature must be a whole number from 0 up, got {self.feature!r}")
        object.__setattr__(self, "feature", int(self.feature))
        if not math.isfinite(self.strength):
            raise ValueError(f"strength of feature {self.feature} must be a finite number, got {self.strength!r}")


def clamp(feature: int, strength: float) -> Intervention:
    """Set a feature to ``strength`` times its maximum wherever the model reads or writes (Anthropic 2024, steering).

    Example:
        >>> clamp(12, 6.0).strength
        6.0
    """
    return Intervention(feature, float(strength))


def as_interventions(given: Any) -> tuple[Intervention, ...]:
    """Read ``None``, one intervention, a sequence of them, or ``{feature: strength}`` (None strengths are off).

    Raises:
        TypeError: when ``given`` is none of these.
        ValueError: when a feature is named twice or a strength is not finite.
    """
    if given is None:
        return ()
    if isinstance(given, Intervention):
        return (given,)
    if isinstance(given, Mapping):
        return tuple(clamp(f, m) for f, m in given.items() if m is not None)
    found = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for item in found:
        if not isinstance(item, Intervention):
            raise TypeError(f"expected {{feature: strength}} or sw.clamp(feature, strength), got {item!r}")
    features = [item.feature for item in found]
    if len(set(features)) < len(features):
        raise ValueError(f"a feature is named twice in {features}: one intervention a feature")
    return found


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
