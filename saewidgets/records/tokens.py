"""The features firing on every token of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from saewidgets.records.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

Scale = Literal["norm", "native"]


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
