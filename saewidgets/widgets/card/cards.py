"""The cards that were read last, so that going back and forth computes nothing twice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from saewidgets.records import FeatureCardData

KEPT = 256

Load = Callable[[int, threading.Event], FeatureCardData]


class Cards:
    """The newest `KEPT` cards by feature, loaded when asked for; any thread may ask.

    Args:
        first: the card there is from the start.
        load: makes any other, blocking; None where there are no others.
    """

    def __init__(self, first: FeatureCardData, load: Load | None) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, FeatureCardData] = OrderedDict({first.feature: first})
        self._effects: dict[int, dict[int, np.ndarray]] = {}

    def __contains__(self, feature: int) -> bool:
        with self._lock:
            return feature in self._kept

    @property
    def loads(self) -> bool:
        """Whether there are other cards than the first."""
        return self._load is not None

    def get(self, feature: int, stop: threading.Event) -> FeatureCardData:
        """A feature's card.

        Raises:
            KeyError: when it is not kept and there is nothing to load it with.
            ValueError: when another feature's card was loaded.
        """
        with self._lock:
            if feature in self._kept:
                self._kept.move_to_end(feature)
                return self._kept[feature]
        if self._load is None:
            raise KeyError(feature)
        data = self._load(feature, stop)
        if data.feature != feature:
            raise ValueError(f"asked for the card of feature {feature}, got that of feature {data.feature}")
        self.put(data)
        return data

    def put(self, data: FeatureCardData) -> None:
        """Keep a card in place of the older one of the same feature."""
        with self._lock:
            self._kept[data.feature] = data
            self._kept.move_to_end(data.feature)
            while len(self._kept) > KEPT:
                gone, _ = self._kept.popitem(last=False)
                self._effects.pop(gone, None)

    def forget(self, feature: int) -> None:
        """Load this feature's card anew next time."""
        with self._lock:
            self._kept.pop(feature, None)

    def add_effect(self, feature: int, which: int, effect: np.ndarray) -> None:
        """Remember the ablation effect on an example of a card."""
        with self._lock:
            self._effects.setdefault(feature, {})[which] = effect

    def effects(self, feature: int) -> dict[int, np.ndarray]:
        """The ablation effects known of a card's examples."""
        with self._lock:
            return dict(self._effects.get(feature, {}))
