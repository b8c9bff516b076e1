"""What steering did, token by token: which were changed, what was asked for, what the SAE reads afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saewidgets.lm.model import LanguageModel
from saewidgets.lm.tokens import readable, token_bytes
from saewidgets.records import Steered
from saewidgets.sae.autoencoder import SparseAutoencoder


class _Step(NamedTuple):
    positions: np.ndarray
    modified: np.ndarray
    skipped: np.ndarray
    features: tuple[int, ...]
    requested: np.ndarray
    readback: np.ndarray


class Trace:
    """Notes of a generation, made by a `FeatureEdit` while it runs.

    Args:
        sae: the SAE that reads back.
        maxima: float32 ``[d_sae]``, the unit values are given in.
        follow: features to read even where none is changed.
        others: whether features that are changed are noted beside these.
    """

    def __init__(
        self, sae: SparseAutoencoder, maxima: np.ndarray, follow: Sequence[int] = (), others: bool = True
    ) -> None:
        self.sae, self.maxima, self.follow, self.others = sae, maxima, tuple(follow), others
        self._steps: list[_Step] = []

    def note(
        self, columns: Any, target: Tensor, untouched: Tensor, skipped: Tensor, positions: Tensor, after: Tensor
    ) -> None:
        """Keep one step's numbers; called by the edit."""
        shape = untouched.shape
        features = tuple(dict.fromkeys((*self.follow, *(columns.numbers if self.others else ()))))
        asked = columns.asked.any(0)
        requested = torch.full((*shape, len(features)), torch.nan)
        for column, feature in enumerate(columns.numbers):
            if columns.own[column] and feature in features:
                here = asked[..., column] & ~untouched
                value = torch.where(here, target[..., column].float(), torch.nan).cpu()
                place = features.index(feature)
                requested[..., place] = torch.where(value.isnan(), requested[..., place], value)
        unit = torch.tensor([self.maxima[f] if self.maxima[f] > 0 else np.nan for f in features], dtype=torch.float32)
        self._steps.append(
            _Step(
                positions.expand(shape).cpu().numpy(),
                (asked.any(-1) & ~untouched).cpu().numpy(),
                skipped.cpu().numpy(),
                features,
                (requested / unit).numpy(),
                (self._read(after, features) / unit).numpy(),
            )
        )

    def _read(self, after: Tensor, features: tuple[int, ...]) -> Tensor:
        if self.sae.is_transcoder or not features:  # a transcoder reads at another place than it writes to
            return torch.full((*after.shape[:2], len(features)), torch.nan)
        chosen = torch.tensor(features, dtype=torch.int64, device=self.sae.device)
        return self.sae.feature_acts(after.to(self.sae.device), chosen).float().cpu() + 0.0  # no −0

    def steered(self, model: LanguageModel, row: int, prompt: Sequence[int], made: Sequence[int], text: str) -> Steered:
        """One row of the generation as a record; a token that was never run, as the last one, reads NaN."""
        ids = (*prompt, *made)
        features = tuple(dict.fromkeys((*self.follow, *(f for step in self._steps for f in step.features))))
        modified, skipped = np.zeros(len(ids), bool), np.zeros(len(ids), bool)
        requested = np.full((len(ids), len(features)), np.nan, np.float32)
        readback = requested.copy()
        for step in self._steps:
            places = step.positions[row]
            here = (places >= 0) & (places < len(ids))
            at, columns = places[here], [features.index(feature) for feature in step.features]
            modified[at], skipped[at] = step.modified[row, here], step.skipped[row, here]
            requested[np.ix_(at, columns)] = step.requested[row, here]
            readback[np.ix_(at, columns)] = step.readback[row, here]
        strings, split = readable(token_bytes(model.tokenizer, ids))
        return Steered(text, tuple(strings), len(prompt), features, modified, requested, readback, skipped, split)
