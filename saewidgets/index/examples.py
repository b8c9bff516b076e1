"""Examples as they are read: a firing in its window, or all of them as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from saewidgets.index.finish import dequantised


class CorpusExample(NamedTuple):
    """A firing of a feature, in its window."""

    interval: int
    """1 to 11 from weak to strong, 0 among the 20 strongest."""
    value: float
    """Native feature_acts, to within 1/65535 of the maximum."""
    ids: np.ndarray
    """Token numbers of its window, int64."""
    position: int
    """Which of ``ids`` it is on."""
    acts: np.ndarray
    """Native feature_acts over the window, float32 ``[n]``, to within 1/255 of the maximum."""
    window: int
    """Number of the window in the corpus."""
    source: str
    """Where the text comes from, "" where the index does not say."""


class ExampleRows(NamedTuple):
    """All examples of all features, a row each, by feature."""

    token: np.ndarray
    """Number of the token fired on."""
    value: np.ndarray
    """Native feature_acts, float64."""
    feature: np.ndarray
    window: np.ndarray
    """Which of `Index.windows`."""
    position: np.ndarray
    interval: np.ndarray
    """1 to 11 from weak to strong, 0 among the 20 strongest."""


class StoredExamples:
    """The examples of an index, decoded when they are asked for.

    Args:
        arrays: of ``examples.safetensors``.
        windows: of ``windows.safetensors``.
        maximum: float32 ``[d_sae]``, what activations are stored in shares of.
        sources: where each window is from; none where the index does not say.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        windows: Mapping[str, np.ndarray],
        maximum: np.ndarray,
        sources: Sequence[str],
    ) -> None:
        self._arrays, self._windows, self._maximum, self._sources = arrays, windows, maximum, sources
        self._first_of_run = np.concatenate([[0], np.cumsum(arrays["run_size"], dtype=np.int64)])

    def of(self, feature: int) -> list[CorpusExample]:
        """The strongest firings of a feature, strongest first, then those drawn from its intervals, weak to strong."""
        first, last = (int(at) for at in self._arrays["start"][feature : feature + 2])
        return [self._example(row, feature) for row in range(first, last)]

    def rows(self) -> ExampleRows:
        """Every example of every feature, without its text."""
        arrays, windows = self._arrays, self._windows
        feature = np.repeat(np.arange(len(self._maximum)), np.diff(arrays["start"].astype(np.int64)))
        window = arrays["run_window"][arrays["run_start"][feature] + arrays["run"]].astype(np.int64)
        position = arrays["position"].astype(np.int64)
        token = windows["tokens"][windows["start"][window] + position].astype(np.int64)
        value = arrays["value"].astype(np.float64) * self._maximum[feature]
        return ExampleRows(token, value / 65_535, feature, window, position, np.array(arrays["interval"]))

    def _example(self, row: int, feature: int) -> CorpusExample:
        arrays, windows, maximum = self._arrays, self._windows, float(self._maximum[feature])
        run = int(arrays["run_start"][feature]) + int(arrays["run"][row])
        window, position = int(arrays["run_window"][run]), int(arrays["position"][row])
        start, end = windows["start"][window : window + 2]
        value = float(dequantised(arrays["value"][row : row + 1], maximum)[0])
        acts = self._acts(run, int(end - start), maximum)
        acts[position] = value
        return CorpusExample(
            interval=int(arrays["interval"][row]),
            value=value,
            ids=windows["tokens"][start:end].astype(np.int64),
            position=position,
            acts=acts,
            window=int(windows["number"][window]),
            source=self._sources[window] if self._sources else "",
        )

    def _acts(self, run: int, length: int, maximum: float) -> np.ndarray:
        places = slice(int(self._first_of_run[run]), int(self._first_of_run[run + 1]))
        acts = np.zeros(length, np.float32)
        acts[self._arrays["run_position"][places]] = dequantised(self._arrays["run_value"][places], maximum)
        return acts
