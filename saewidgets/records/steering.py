"""What steering did: to every token of one text, and over a range of strengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from saewidgets.records.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

RowKind = Literal["bare", "steered", "random", "control", "prompt"]


@dataclass(frozen=True, eq=False)
class Steered:
    """A prompt with its continuation, and what was done to every token of the two.

    Values are multiples of the feature's maximum, whatever kind the intervention was.

    Attributes:
        text: the continuation alone, as read.
        str_tokens: prompt and continuation, ``n`` strings; bytes that are only part of a character as ``\\xF0``.
        n_prompt: how many of them are the prompt, the template's own tokens included.
        features: the features followed, ``k`` numbers: those steered, or asked about where none was.
        modified: bool ``[n]``, whether the residual of the token was changed.
        requested: float32 ``[n, k]``, the value asked for at the token; NaN where nothing was.
        readback: float32 ``[n, k]``, the value the SAE reads from the steered residual; NaN where not measured.
        skipped: bool ``[n]``, BOS and attention sinks, which are never steered.
        split: token → (part from 1, parts, character) where a character is spread over several tokens.
    """

    text: str
    str_tokens: tuple[str, ...]
    n_prompt: int
    features: tuple[int, ...]
    modified: np.ndarray
    requested: np.ndarray
    readback: np.ndarray
    skipped: np.ndarray
    split: Mapping[int, tuple[int, int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, k = len(self.str_tokens), len(self.features)
        shapes = {"modified": (n,), "skipped": (n,), "requested": (n, k), "readback": (n, k)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        if not 0 <= self.n_prompt <= n:
            raise ValueError(f"n_prompt must be between 0 and {n} tokens, got {self.n_prompt}")

    def __len__(self) -> int:
        return len(self.str_tokens)

    def __repr__(self) -> str:
        return f"Steered({self.text!r}, features={self.features})"

    @property
    def frame(self) -> pd.DataFrame:
        """One row a token and feature: position, part, str_token, modified, feature, requested, readback."""
        import pandas as pd

        n, k = len(self), len(self.features)
        row = np.repeat(np.arange(n), k)
        return pd.DataFrame(
            {
                "position": row,
                "part": np.where(row < self.n_prompt, "prompt", "generated"),
                "str_token": pd.Series([self.str_tokens[i] for i in row], dtype=object),
                "modified": self.modified[row],
                "feature": np.tile(np.asarray(self.features, np.int64), n),
                "requested": self.requested.reshape(-1),
                "readback": self.readback.reshape(-1),
            }
        )


@dataclass(frozen=True, eq=False)
class SweepRow:
    """One text of a sweep, with its quality measured without a judge.

    Attributes:
        kind: ``"bare"`` (nothing steered), ``"steered"``, or a control: ``"random"`` (a random direction of equal
            norm), ``"control"`` (another feature of similar density), ``"prompt"`` (the bare model, asked in words).
        strength: what was asked for; None for ``"bare"`` and ``"prompt"``.
        steered: the text and its tokens; `Steered.features` is the swept feature in every row.
        readback: the swept feature as the SAE reads it, mean over the generated tokens, multiples of its maximum.
        kl: KL(bare ‖ this) of the next-token distribution on this text, nats, mean over the generated tokens.
        perplexity: of the text under the bare model.
        repetition: share of the text's 3-grams that occurred in it before, 0 to 1.
        first_divergence: generated token, from 0, at which the text leaves the bare one; None where it never does.
        delta_logprob: mean change of the log-probability of `Sweep.promoted` against the bare model, nats.
    """

    kind: RowKind
    strength: float | None
    steered: Steered
    readback: float = math.nan
    kl: float = math.nan
    perplexity: float = math.nan
    repetition: float = math.nan
    first_divergence: int | None = None
    delta_logprob: float = math.nan

    @property
    def text(self) -> str:
        """The text written."""
        return self.steered.text


@dataclass(frozen=True, eq=False)
class Sweep:
    """One prompt continued at many strengths of one feature, beside the bare model and controls.

    Attributes:
        prompt: the prompt as given.
        feature: the feature swept.
        rows: the texts.
        sweet_spot: the strength of largest effect with perplexity ≤ 2× bare and repetition ≤ bare + 0.1, or None.
        label: the feature's label, where one is known.
        intervention: how it was steered: ``"clamp"``, ``"at_least"`` or ``"add"``.
        promoted: the tokens the feature promotes most, whose log-probability was followed.
        control_feature: the feature of the ``"control"`` rows, or None.
    """

    prompt: str
    feature: int
    rows: tuple[SweepRow, ...]
    sweet_spot: float | None = None
    label: str = ""
    intervention: str = "clamp"
    promoted: tuple[str, ...] = ()
    control_feature: int | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Sweep(feature={self.feature}, {len(self.strengths)} strengths, sweet_spot={self.sweet_spot})"

    @property
    def bare(self) -> SweepRow | None:
        """The row of the bare model."""
        return next(iter(self.of("bare")), None)

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths steered at, ascending."""
        return tuple(sorted(row.strength for row in self.of("steered") if row.strength is not None))

    def of(self, kind: RowKind) -> tuple[SweepRow, ...]:
        """The rows of one kind, as they came."""
        return tuple(row for row in self.rows if row.kind == kind)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a text, in the order of `rows`.

        Columns: kind, strength, readback, kl, perplexity, repetition, first_divergence, delta_logprob, sweet_spot,
        text.
        """
        import pandas as pd

        numbers = ("readback", "kl", "perplexity", "repetition")
        columns = {
            "kind": [row.kind for row in self.rows],
            "strength": [math.nan if row.strength is None else row.strength for row in self.rows],
            **{name: [getattr(row, name) for row in self.rows] for name in numbers},
            "first_divergence": pd.array([row.first_divergence for row in self.rows], dtype="Int64"),
            "delta_logprob": [row.delta_logprob for row in self.rows],
            "sweet_spot": [self._is_sweet(row) for row in self.rows],
            "text": pd.Series([row.text for row in self.rows], dtype=object),
        }
        return pd.DataFrame(columns)

    def _is_sweet(self, row: SweepRow) -> bool:
        return row.kind == "steered" and self.sweet_spot is not None and row.strength == self.sweet_spot
