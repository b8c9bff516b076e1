"""What a feature card shows: one feature in depth, and every feature in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saewidgets.records.provenance import Provenance
from saewidgets.records.tokens import Scale

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = 11
"""Intervals of equal width from 0 to a feature's maximum, as in Anthropic's 2023 visualizer; zeros excluded."""


@dataclass(frozen=True, eq=False)
class FeatureStats:
    """How often and how strongly one feature fires over the corpus; values in the unit of the card's ``scale``.

    Attributes:
        feature: feature number.
        count: tokens it fires on.
        n_tokens: tokens scanned.
        maximum: strongest activation; 0 where it never fires.
        mean: mean activation over the tokens it fires on.
        histogram: int64 ``[bins]``, tokens by activation, zeros excluded.
        edges: float64 ``[bins + 1]``, edges of the bins, rising, in activation.
        label: what it seems to mean, "" where nothing is known.
        label_score: how well the label predicts held-out examples, 0–1, NaN where it was not measured.
        label_source: who wrote the label: ``"you"``, ``"automatic"`` or the name of a file; "" where there is none.
    """

    feature: int
    count: int
    n_tokens: int
    maximum: float
    mean: float
    histogram: np.ndarray
    edges: np.ndarray
    label: str = ""
    label_score: float = float("nan")
    label_source: str = ""

    @property
    def density(self) -> float:
        """Share of tokens it fires on."""
        return self.count / self.n_tokens if self.n_tokens else 0.0

    @property
    def intervals(self) -> np.ndarray:
        """Edges of the 11 intervals, float64 ``[12]``, evenly spaced from 0 to the maximum."""
        return np.linspace(0, self.maximum, INTERVALS + 1)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a bin of the histogram: low, high, count."""
        import pandas as pd

        return pd.DataFrame({"low": self.edges[:-1], "high": self.edges[1:], "count": self.histogram})


@dataclass(frozen=True, eq=False)
class Example:
    """A stretch of text and one feature's activation on every token of it.

    Attributes:
        str_tokens: one string a token, as in `TokenActs`.
        activations: float32 ``[n]``, in the unit of the card's ``scale``.
        position: which of ``str_tokens`` the example is about: the strongest, or the one that was drawn.
        interval: 1 to 11 from weak to strong where it was drawn from an interval, 0 among the strongest of all.
        ids: int64 ``[n]``, token numbers, for running the model on it again; None where they are not known.
        skipped: bool ``[n]``, BOS and attention sinks, shown hatched; None is none.
        split: token → (part from 1, parts, character) where a character is spread over several tokens.
        source: where the text comes from.
    """

    str_tokens: Sequence[str]
    activations: np.ndarray
    position: int
    interval: int = 0
    ids: np.ndarray | None = None
    skipped: np.ndarray | None = None
    split: Mapping[int, tuple[int, int, str]] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        n = len(self.str_tokens)
        if len(self.activations) != n:
            raise ValueError(f"an example of {n} tokens needs {n} activations, got {len(self.activations)}")
        if not 0 <= self.interval <= INTERVALS:
            raise ValueError(f"interval must be 1 to {INTERVALS}, or 0 for the strongest, got {self.interval}")
        if n and not 0 <= self.position < n:
            raise ValueError(f"position must be from 0 to {n - 1}, got {self.position}")

    @property
    def value(self) -> float:
        """Activation on the token the example is about."""
        return float(self.activations[self.position]) if len(self.str_tokens) else 0.0


class TokenWeight(NamedTuple):
    """A token the feature promotes or suppresses: its logit weight, median-centred."""

    str_token: str
    weight: float


class TokenShare(NamedTuple):
    """A token the feature fires on: its share of the feature's whole activation, and of the corpus."""

    str_token: str
    share: float
    base: float


class Neuron(NamedTuple):
    """A neuron of the MLP at the same layer: Pearson's correlation with the feature."""

    neuron: int
    correlation: float


class Related(NamedTuple):
    """Another feature: its phi coefficient (co-active) or the cosine of the decoder vectors (neighbour)."""

    feature: int
    value: float
    label: str = ""


@dataclass(frozen=True, eq=False)
class FeatureCardData:
    """Everything a card shows of one feature; lists are strongest first and may be empty where nothing is known.

    Attributes:
        stats: counts, histogram, label.
        top: the strongest examples.
        intervals: examples drawn from the 11 intervals, in any order.
        promoted: tokens whose logits the feature raises most.
        suppressed: tokens whose logits it lowers most, the lowest first.
        tokens: tokens it fires on far more often than they are frequent.
        neurons: most correlated neurons of the layer's MLP (``mlp.hook_post``), by absolute correlation.
        coactive: features that fire on the same tokens, by phi.
        neighbors: features with the closest decoder vectors, by cosine.
        scale: ``"norm"`` = feature_acts · ‖W_dec‖ (comparable across features), ``"native"`` = feature_acts.
        notes: what a reader should know before trusting the numbers, one sentence each.
        provenance: model, SAE and hook.
    """

    stats: FeatureStats
    top: Sequence[Example] = ()
    intervals: Sequence[Example] = ()
    promoted: Sequence[TokenWeight] = ()
    suppressed: Sequence[TokenWeight] = ()
    tokens: Sequence[TokenShare] = ()
    neurons: Sequence[Neuron] = ()
    coactive: Sequence[Related] = ()
    neighbors: Sequence[Related] = ()
    scale: Scale = "norm"
    notes: Sequence[str] = ()
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def feature(self) -> int:
        """The feature's number."""
        return self.stats.feature

    @property
    def frame(self) -> pd.DataFrame:
        """One row an example: interval (0 = strongest), activation, str_token, position, text, source."""
        import pandas as pd

        shown = [*self.top, *self.intervals]
        rows = [
            (e.interval, e.value, e.str_tokens[e.position] if e.str_tokens else "", e.position, _text(e), e.source)
            for e in shown
        ]
        frame = pd.DataFrame(rows, columns=["interval", "activation", "str_token", "position", "text", "source"])
        return frame.astype({"interval": int, "activation": float, "position": int})

    @property
    def logits(self) -> pd.DataFrame:
        """One row a promoted or suppressed token: str_token, weight; the most promoted first."""
        import pandas as pd

        rows = [*self.promoted, *reversed(self.suppressed)]
        frame = pd.DataFrame(rows, columns=list(TokenWeight._fields))
        return frame.astype({"weight": float})

    @property
    def token_shares(self) -> pd.DataFrame:
        """One row a token it fires on: str_token, share, base."""
        import pandas as pd

        return pd.DataFrame(list(self.tokens), columns=list(TokenShare._fields)).astype({"share": float, "base": float})

    @property
    def related(self) -> pd.DataFrame:
        """One row a relation: kind (neuron, coactive, neighbor), number, value, label."""
        import pandas as pd

        rows = [("neuron", n.neuron, n.correlation, "") for n in self.neurons]
        rows += [("coactive", r.feature, r.value, r.label) for r in self.coactive]
        rows += [("neighbor", r.feature, r.value, r.label) for r in self.neighbors]
        frame = pd.DataFrame(rows, columns=["kind", "number", "value", "label"])
        return frame.astype({"number": int, "value": float})


@dataclass(frozen=True, eq=False)
class FeatureList:
    """A few numbers of every feature, for a list to filter and sort.

    Attributes:
        density: float64 ``[d_sae]``, share of tokens each fires on; 0 = never.
        maximum: float32 ``[d_sae]``, in the unit of the cards' ``scale``.
        labels: ``d_sae`` strings, "" where there is none.
        label_scores: float32 ``[d_sae]``, NaN where not measured.
    """

    density: np.ndarray
    maximum: np.ndarray
    labels: Sequence[str]
    label_scores: np.ndarray

    def __post_init__(self) -> None:
        sizes = {len(part) for part in (self.density, self.maximum, self.labels, self.label_scores)}
        if len(sizes) != 1:
            raise ValueError(f"density, maximum, labels and label_scores must be of one length, got {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.density)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a feature: feature, density, maximum, label, label_score."""
        import pandas as pd

        return pd.DataFrame(
            {
                "feature": np.arange(len(self)),
                "density": self.density,
                "maximum": self.maximum,
                # Not pandas' str dtype: it refuses a lone surrogate, which a label made of tokens may hold.
                "label": pd.Series(list(self.labels), dtype=object),
                "label_score": self.label_scores,
            }
        )


def _text(example: Example) -> str:
    return "".join(example.str_tokens)
