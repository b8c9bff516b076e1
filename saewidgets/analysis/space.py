"""The distances between the features of one SAE: each measure built when first asked for, then kept."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from saewidgets.analysis.logits import Unembedding
from saewidgets.geometry.agreement import overlap
from saewidgets.geometry.logit import logit_effects, logit_medians
from saewidgets.geometry.neighbors import nearest, others, ranks
from saewidgets.geometry.select import best
from saewidgets.geometry.similarity import Cosine, Phi, Similarity, checked
from saewidgets.geometry.steps import Step, silent
from saewidgets.lm.model import LanguageModel
from saewidgets.records import DISTANCES, Neighbors
from saewidgets.sae.autoencoder import SparseAutoencoder

Medians = Callable[[Callable[[], np.ndarray]], np.ndarray]
"""Gives the medians of the logit effects, from a file or by calling what measures them."""


LIGHT_WORK = 1e12  # multiplications; 16k features of the demo model are half of it
LARGE, SAMPLE = 20_000, 2_000  # above that many features a comparison is made on a sample


class Distances:
    """Every measure of how near two features are, by name; see `DISTANCES`.

    Args:
        model: whose output layer logit effects are read through.
        sae: whose features.
        hook_name: where it reads.
        index: the corpus index, for co-activation; or None.
        kept: wraps the slow part of logit effects, so that a caller can keep it in a file.
    """

    def __init__(
        self,
        model: LanguageModel,
        sae: SparseAutoencoder,
        hook_name: str,
        index: Any = None,
        kept: Medians | None = None,
    ) -> None:
        self.model, self.sae, self.hook_name, self._index = model, sae, hook_name, index
        self._kept = kept or (lambda measure: measure())
        self._built: dict[str, Similarity] = {}
        self._building = threading.Lock()

    @property
    def index(self) -> Any:
        """The corpus index, or None; a new one takes the place of what was built on the old."""
        return self._index

    @index.setter
    def index(self, index: Any) -> None:
        if index is not self._index:
            with self._building:
                self._index = index
                self._built.pop("coactivation", None)

    @property
    def cheap(self) -> list[str]:
        """The measures at hand without long work: all but logit effects never asked for, and what needs an index."""
        ready = {"decoder", "encoder", *self._built} | ({"coactivation"} if self.index is not None else set())
        return [name for name in DISTANCES if name in ready]

    @property
    def affordable(self) -> list[str]:
        """Those, and logit effects where measuring them takes a laptop less than a minute; see `LIGHT_WORK`."""
        vocab = int(self.model.config.vocab_size)
        light = self._writes_residual and self.sae.d_sae * self.sae.d_out * vocab <= LIGHT_WORK
        return [name for name in DISTANCES if name in self.cheap or (name == "logit" and light)]

    @property
    def possible(self) -> list[str]:
        """The measures this SAE can have, some after long work."""
        able = {"decoder", "encoder"} | ({"logit"} if self._writes_residual else set())
        return [name for name in DISTANCES if name in able or (name == "coactivation" and self.index is not None)]

    @property
    def _writes_residual(self) -> bool:
        place = self.sae.hook_name_out or self.hook_name
        return self.sae.d_out == self.model.d_model and ("resid" in place or place.endswith(("_out", "hook_embed")))

    def by(self, distance: str, step: Step = silent) -> Similarity:
        """The measure of that name.

        Raises:
            ValueError: when there is none, or it needs an index, or the SAE does not write into the residual stream.
        """
        if distance not in DISTANCES:
            raise ValueError(f"there is no distance {distance!r}: choose from {', '.join(DISTANCES)}")
        if distance in self._built:  # asked without the lock: a slow measure must not keep the others waiting
            return self._built[distance]
        with self._building:
            if distance not in self._built:
                self._built[distance] = self._build(distance, step)
            return self._built[distance]

    def _build(self, distance: str, step: Step) -> Similarity:
        if distance == "decoder":
            return Cosine(self.sae.W_dec, "W_dec")
        if distance == "encoder":
            return Cosine(self.sae.W_enc.T, "W_enc")
        if distance == "logit":
            return Cosine(self._logit(step), "logit effects")
        if self.index is None:
            raise ValueError(
                "co-activation is counted on a corpus, and this session has no index: run s.scan(texts) first, "
                "or choose distance='decoder'"
            )
        return Phi(self.index.sample)

    def _logit(self, step: Step) -> Tensor:
        if not self._writes_residual:
            place = self.sae.hook_name_out or self.hook_name
            raise ValueError(f"logit effects need an SAE that writes into the residual stream, not at {place}")
        W_U = unembedding(self.model)[0]
        medians = self._kept(lambda: logit_medians(self.sae.W_dec, W_U, step).numpy())
        return logit_effects(self.sae.W_dec, W_U, torch.from_numpy(medians))


@torch.inference_mode()
def unembedding(model: LanguageModel) -> tuple[Tensor, Tensor]:
    """From the residual stream to the logits of the tokens that text is made of: float32 ``[d_model, n]``, their ids.

    The diagonal approximation of the final norm: its weight is kept (and its taking out of the mean, where it does),
    its division by the token's own scale left out.
    """
    out = Unembedding(model)
    W_U = out.matrix.float().T * out.scale[:, None]
    return (W_U - W_U.mean(0) if out.centres else W_U), out.ids


@torch.inference_mode()
def neighbors(
    distances: Distances,
    feature: int,
    k: int = 10,
    distance: str = "decoder",
    ranked: Sequence[str] | None = None,
    step: Step = silent,
) -> Neighbors:
    """The ``k`` nearest features of one, with their ranks by the distances ``ranked`` (by default those at hand).

    Raises:
        ValueError: when the feature, ``k`` or the distance is impossible, or the feature has no direction (or never
            fired, for co-activation).
    """
    measure = distances.by(distance, step)
    at = checked(measure, [feature])
    if not 1 <= k < measure.n:
        raise ValueError(f"k must be from 1 to {measure.n - 1} (there are {measure.n} features), got {k}")
    if not measure.present[at[0]]:
        why = "never fired in the index's sample" if distance == "coactivation" else f"has a {distance} vector of zeros"
        raise ValueError(f"feature {feature} {why}: nothing is near it by distance {distance!r}")
    row = others(measure, at)
    values, found = (part[0] for part in best(row, min(k, int(measure.present.sum()) - 1)))
    return Neighbors(
        feature=int(feature),
        distance=distance,
        features=found.numpy().astype(np.int32),
        distances=(1 - values).numpy(),
        labels=known(distances.index, "labels", found),
        density=known(distances.index, "density", found),
        ranks=_ranks({name: distances.by(name, step) for name in ranked or distances.cheap}, at, found),
    )


def _ranks(measures: dict[str, Similarity], at: Tensor, found: Tensor) -> dict[str, np.ndarray]:
    """Places of the features ``found`` by every distance; NaN by one not given, or that does not know the feature."""
    places = {name: np.full(len(found), np.nan, np.float32) for name in DISTANCES}
    for name, measure in measures.items():
        if measure.present[at[0]]:
            row = others(measure, at)[0]
            places[name] = np.where(measure.present[found].numpy(), ranks(row, found), np.float32(np.nan))
    return places


def known(index: Any, what: str, features: Tensor) -> Any:
    """An index's labels or densities of some features; nothing without an index."""
    if what == "labels":
        return () if index is None else tuple(index.labels[i] for i in features.tolist())
    return None if index is None else np.asarray(index.density, np.float32)[features.numpy()]


def compare(
    distances: Distances, k: int = 10, chosen: Sequence[str] | None = None, seed: int = 0, step: Step = silent
) -> pd.DataFrame:
    """Where distances disagree most: how many of a feature's ``k`` nearest each two of them share.

    Args:
        distances: of the SAE.
        k: how many neighbours.
        chosen: names of two or more distances; by default all this SAE can have.
        seed: of the sample of 2 000 features where there are more than 20 000.
        step: told how far the work is.

    Returns:
        A row a feature, least agreement first: feature, label, a column ``one_other`` a pair of distances with the
        share of neighbours in common (0 to 1, NaN where one does not know the feature), and overlap, their mean.

    Raises:
        ValueError: when fewer than two distances are chosen, or one is impossible.
    """
    chosen = list(chosen or distances.possible)
    if len(set(chosen)) < 2:
        raise ValueError(f"a comparison needs two or more distances, got {', '.join(chosen)}")
    measures = {name: distances.by(name, step) for name in chosen}
    n = distances.sae.d_sae
    at = np.arange(n) if n <= LARGE else np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False))
    tables = {name: nearest(measure, k, at, step) for name, measure in measures.items()}
    pairs = {f"{a}_{b}": overlap(tables[a], tables[b], k) for a, b in itertools.combinations(chosen, 2)}
    labels = known(distances.index, "labels", torch.from_numpy(at)) or [""] * len(at)
    frame = pd.DataFrame({"feature": at, "label": labels, **pairs})
    frame["overlap"] = frame[list(pairs)].mean(axis=1).astype(np.float32)
    return frame.sort_values(["overlap", "feature"], kind="stable").reset_index(drop=True)
