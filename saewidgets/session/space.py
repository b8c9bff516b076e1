"""Feature space: who is near whom, by which distance, and the map of it all."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from saewidgets.session.corpus import Corpus
from saewidgets.session.reading import Reading

if TYPE_CHECKING:
    import pandas as pd

    from saewidgets.analysis.space import Distances
    from saewidgets.geometry.agreement import Agreement
    from saewidgets.records import FeatureSpace, Neighbors
    from saewidgets.widgets.map import FeatureMap


class Space(Reading, Corpus):
    """Features among features."""

    map_folders: tuple[Path, ...] = ()
    """Folders with ready-made maps, looked into before the cache folder."""

    def neighbors(self, feature: int, k: int = 10, distance: str = "decoder") -> pd.DataFrame:
        """The ``k`` nearest features of one, exactly, every feature compared; nearest first.

        Args:
            feature: whose neighbours.
            k: how many.
            distance: ``"decoder"`` or ``"encoder"`` (cosine of those vectors), ``"logit"`` (cosine of the effects on
                next-token logits, each centred at its median over the vocabulary), or ``"coactivation"`` (phi
                coefficient of the tokens they fire on; needs an index).

        Returns:
            feature, distance (1 − similarity), similarity, label, density, and the rank by every distance:
            rank_decoder, rank_encoder, rank_logit, rank_coactivation. The last is NaN without an index. Logit effects
            measure every token for every feature once, and are kept in the cache folder; where that takes more than a
            minute or so, rank_logit is NaN until a logit distance was asked for.

        Raises:
            ValueError: when the feature, ``k`` or the distance is impossible, or the feature has no direction.

        Example:
            >>> s.neighbors(8192, k=3).columns[0]
            'feature'
        """
        from saewidgets.analysis.atlas import progress
        from saewidgets.analysis.space import neighbors

        with progress() as step:
            return neighbors(self._distances, feature, k, distance, self._distances.affordable, step).frame

    def nearest_features(self, feature: int, k: int = 10, distance: str = "decoder") -> Neighbors:
        """What `neighbors` shows, as a record; ranks only by the distances that need no work first."""
        from saewidgets.analysis.space import neighbors

        return neighbors(self._distances, feature, k, distance)

    def compare_distances(self, k: int = 10, distances: Sequence[str] | None = None) -> pd.DataFrame:
        """Where distances disagree most: the share of a feature's ``k`` nearest each two of them have in common.

        A row a feature (a seeded sample of 2 000 above 20 000), least agreement first: feature, label, a column a pair
        of distances such as decoder_encoder, and overlap, their mean.

        Raises:
            ValueError: when a distance is unknown, impossible here, or fewer than two are given.
        """
        from saewidgets.analysis.atlas import progress
        from saewidgets.analysis.space import compare

        with progress() as step:
            return compare(self._distances, k, distances, step=step)

    def distance_agreement(self, one: str = "decoder", other: str = "coactivation") -> Agreement:
        """Spearman's correlation of two similarities over pairs of features, against a permutation null.

        Raises:
            ValueError: when a distance is unknown or impossible here.
        """
        from saewidgets.analysis.atlas import progress
        from saewidgets.geometry.agreement import agreement

        with progress() as step:
            return agreement(self._distances.by(one, step), self._distances.by(other, step), step=step)

    def layout(
        self,
        *,
        n_neighbors: int = 15,
        min_dist: float = 0.05,
        seed: int = 0,
        stop: threading.Event | None = None,
    ) -> FeatureSpace:
        """What `map` shows, as a record: positions, clusters, true neighbours, faithfulness; kept in the cache folder.

        Args:
            n_neighbors: of UMAP, the feature itself included.
            min_dist: of UMAP.
            seed: of UMAP; the same seed gives the same map.
            stop: set it to end the work; nothing is kept then.

        Raises:
            ValueError: when there are too few features for ``n_neighbors``, or a parameter is impossible.
        """
        from saewidgets.analysis.atlas import dressed, kept_atlas, progress

        with progress(stop) as step:
            chosen = {"n_neighbors": n_neighbors, "min_dist": min_dist, "seed": seed}
            space = kept_atlas(self._distances, self._hashes[0], self._map_homes, step, **chosen)
            return dressed(space, self._distances, self.provenance)

    def map(self, *, n_neighbors: int = 15, min_dist: float = 0.05, seed: int = 0) -> FeatureMap:
        """A live `FeatureMap` of every feature, by decoder direction; see `layout`.

        Example:
            >>> m = s.map()
            >>> m.feature = 8192
        """
        from saewidgets.widgets.map import FeatureMap

        widget = FeatureMap(
            self.layout(n_neighbors=n_neighbors, min_dist=min_dist, seed=seed),
            neighbors=self.nearest_features,
            light=self._firing,
            search=self._by_token if self.index is not None else None,
            distances=self._distances.possible,
        )
        self._keep_badge(widget)
        return widget

    def _by_token(self, query: str) -> list[int]:
        """Features found by the tokens they fire on or promote, beyond the labels the map knows itself."""
        return self.search(query, k=200).feature.tolist()

    def _firing(self, text: str, stop: threading.Event) -> tuple[np.ndarray, np.ndarray]:
        """The features firing on a text, each with its largest activation there; skipped tokens do not count."""
        acts = self.token_acts(text, stop=stop)
        values = acts.values[~acts.skipped]
        features, strongest = acts.indices[~acts.skipped][values > 0], np.zeros(self.sae.d_sae, np.float32)
        np.maximum.at(strongest, features, values[values > 0])
        found = np.unique(features)
        return found, strongest[found]

    @property
    def _distances(self) -> Distances:
        self._measures.index = self.index  # which a scan may have made since
        return self._measures

    @functools.cached_property
    def _measures(self) -> Distances:
        from saewidgets.analysis.atlas import kept_medians
        from saewidgets.analysis.space import Distances

        def kept(measure: Callable[[], np.ndarray]) -> np.ndarray:
            return kept_medians(measure, *self._hashes, self._map_homes)  # hashed only when asked for

        return Distances(self.model, self.sae, self.hook_name, self.index, kept)

    @property
    def _map_homes(self) -> tuple[Path, ...]:
        from saewidgets.lm.cache import cache_folder

        return (*self.map_folders, cache_folder() / "maps")
