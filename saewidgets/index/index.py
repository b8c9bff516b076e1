"""The index as it is read: opened by memory map, one feature at a time or all in a few numbers."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saewidgets.index import store
from saewidgets.index.examples import CorpusExample, ExampleRows, StoredExamples
from saewidgets.index.labels import read_labels, write_labels
from saewidgets.index.selection import bin_edges

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse

LABELS = "labels.csv"


class Index:
    """What a scan of a corpus found out about every feature.

    Args:
        folder: what `Session.scan` wrote.
        labels_file: where the user's own labels are kept; ``labels.csv`` in the folder by default.

    Attributes:
        folder: where it is.
        about: the manifest: model, SAE, hook, hashes, settings, versions, checksums.

    Raises:
        FileNotFoundError: when there is no index in ``folder``.
        ValueError: when a file is missing or of another size than was written.

    Example:
        >>> index = Index("my-index")
        >>> index.density.shape == index.counts.shape
        True
    """

    def __init__(self, folder: str | os.PathLike[str], labels_file: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder)
        self.about: Mapping[str, Any] = store.read_manifest(self.folder)
        for name, file in self.about["files"].items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != file["bytes"]:
                raise ValueError(f"{path} is damaged or missing: delete the folder and scan again")
        self._open: dict[str, dict[str, np.ndarray]] = {}
        self.labels_file = Path(labels_file) if labels_file is not None else self.folder / LABELS
        self.own_labels: dict[int, str] = read_labels(self.labels_file) if self.labels_file.is_file() else {}

    def __repr__(self) -> str:
        return f"Index({str(self.folder)!r}, {self.n_tokens:,} tokens, {self.d_sae:,} features)"

    @property
    def n_tokens(self) -> int:
        """Tokens scanned; BOS and attention sinks are not counted."""
        return int(self.about["n_tokens"])

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return int(self.about["d_sae"])

    @property
    def counts(self) -> np.ndarray:
        """Tokens each feature fires on, int64 ``[d_sae]``."""
        return self._file("features")["counts"]

    @property
    def maximum(self) -> np.ndarray:
        """Largest native feature_acts, float32 ``[d_sae]``; 0 where a feature never fired."""
        return self._file("features")["maximum"]

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """Mean native feature_acts over the tokens a feature fires on, float64 ``[d_sae]``; 0 where it never fired."""
        return self._file("features")["sums"] / np.maximum(self.counts, 1)

    @functools.cached_property
    def density(self) -> np.ndarray:
        """Share of tokens each feature fires on, float64 ``[d_sae]``."""
        return self.counts / max(self.n_tokens, 1)

    @property
    def automatic_labels(self) -> Sequence[str]:
        """Labels made of distinctive and promoted tokens, "" where there is none."""
        return self.about.get("labels") or [""] * self.d_sae

    @property
    def labels(self) -> Sequence[str]:
        """A label for each feature, "" where there is none; the user's own win."""
        found = list(self.automatic_labels)
        for feature, label in self.own_labels.items():
            if 0 <= feature < len(found):
                found[feature] = label
        return found

    @functools.cached_property
    def label_scores(self) -> np.ndarray:
        """Share of held-out activation on the automatic label's tokens, float32 ``[d_sae]``, NaN: unknown."""
        found = self.meaning("label_scores")
        return found if found is not None else np.full(self.d_sae, np.nan, np.float32)

    @functools.cached_property
    def sample(self) -> scipy.sparse.csr_array:
        """Which features fire on a seeded sample of tokens, bool CSR ``[n_sampled_tokens, d_sae]``."""
        import scipy.sparse

        arrays = self._file("sample")
        indices, start = arrays["feature"].astype(np.int32), np.array(arrays["start"])
        shape = (len(start) - 1, self.d_sae)
        return scipy.sparse.csr_array((np.ones(len(indices), bool), indices, start), shape=shape)

    @functools.cached_property
    def sample_by_feature(self) -> scipy.sparse.csc_array:
        """`sample` by columns."""
        return self.sample.tocsc()

    @property
    def token_counts(self) -> np.ndarray:
        """How often each token occurs in the corpus, ``[vocab]``."""
        return self._file("tokens")["token_counts"]

    @property
    def frame(self) -> pd.DataFrame:
        """One row a feature: feature, density, maximum, mean, label, label_score."""
        import pandas as pd

        return pd.DataFrame(
            {
                "feature": np.arange(self.d_sae),
                "density": self.density,
                "maximum": np.array(self.maximum),
                "mean": self.mean,
                "label": pd.Series(list(self.labels), dtype=object),
                "label_score": np.array(self.label_scores),
            }
        )

    def examples(self, feature: int) -> list[CorpusExample]:
        """The strongest firings of a feature, strongest first, then those drawn from its intervals, weak to strong."""
        return self._examples.of(feature)

    def example_rows(self) -> ExampleRows:
        """Every example of every feature, without its text."""
        return self._examples.rows()

    def windows(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """The windows that examples lie in: their numbers in the corpus, int64, and the token numbers of each."""
        arrays = self._file("windows")
        start = arrays["start"]
        return arrays["number"], [arrays["tokens"][a:b].astype(np.int64) for a, b in itertools.pairwise(start)]

    def histogram(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """Firings by activation: int64 ``[bins]`` and float64 edges ``[bins + 1]``, native, zeros excluded."""
        arrays = self._file("features")
        first, last = (int(at) for at in arrays["histogram_start"][feature : feature + 2])
        if first == last:
            return np.zeros(0, np.int64), np.zeros(1)
        bins = arrays["histogram_bin"][first:last].astype(np.int64)
        counts = np.zeros(int(bins[-1] - bins[0]) + 1, np.int64)
        counts[bins - bins[0]] = arrays["histogram_count"][first:last]
        return counts, bin_edges()[bins[0] : bins[-1] + 2]

    def distinctive(self, feature: int) -> list[tuple[int, float, float]]:
        """Tokens that tell most of a feature: token number, share of its activation, base rate in the corpus."""
        arrays = self._file("tokens")
        tokens, share = arrays["distinctive"][feature], arrays["share"][feature]
        total = max(int(self.token_counts.sum()), 1)
        return [
            (int(t), float(s), float(self.token_counts[t] / total))
            for t, s in zip(tokens, share, strict=True)
            if t >= 0
        ]

    @property
    def distinctive_tokens(self) -> tuple[np.ndarray, np.ndarray]:
        """`distinctive` of all features: int32 ``[d_sae, 8]``, −1 for none, and shares float16 ``[d_sae, 8]``."""
        arrays = self._file("tokens")
        return arrays["distinctive"], arrays["share"]

    def label_tokens(self, feature: int) -> list[int]:
        """Numbers of the tokens that the automatic label names and that are scored."""
        found = self.meaning("label_tokens")
        return [] if found is None else [int(token) for token in found[feature] if token >= 0]

    def coactive(self, feature: int) -> np.ndarray:
        """Phi with every feature over the sampled tokens, float64 ``[d_sae]``; NaN where one of the two never fires."""
        by_feature = self.sample_by_feature
        rows = by_feature.indices[by_feature.indptr[feature] : by_feature.indptr[feature + 1]]
        n, fires = len(self._file("sample")["key"]), np.diff(by_feature.indptr).astype(np.float64)
        both = np.bincount(self.sample[rows].indices, minlength=self.d_sae).astype(np.float64)
        mine = float(len(rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            return (n * both - mine * fires) / np.sqrt(mine * (n - mine) * fires * (n - fires))

    def meaning(self, name: str) -> np.ndarray | None:
        """An array that was computed with the model after the scan, or None where it was not."""
        if "meaning.safetensors" not in self.about["files"]:
            return None
        return self._file("meaning").get(name)

    def set_label(self, feature: int, label: str) -> None:
        """Label a feature by hand; an empty label gives the automatic one back. Saved at once beside the index.

        Raises:
            ValueError: when there is no such feature.
            OSError: when the file cannot be written; the label is then not set.
        """
        if not 0 <= feature < self.d_sae:
            raise ValueError(f"there is no feature {feature}: this SAE has features 0 to {self.d_sae - 1}")
        labels = {**self.own_labels, int(feature): label.strip()}
        self.set_labels({number: text for number, text in labels.items() if text})

    def set_labels(self, labels: Mapping[int, str]) -> None:
        """Replace all labels set by hand; saved at once beside the index.

        Raises:
            ValueError: when a feature does not exist; nothing is changed.
        """
        wrong = [feature for feature in labels if not 0 <= feature < self.d_sae]
        if wrong:
            raise ValueError(f"there is no feature {wrong[0]}: this SAE has features 0 to {self.d_sae - 1}")
        write_labels(self.labels_file, labels)
        self.own_labels = dict(labels)

    @functools.cached_property
    def _examples(self) -> StoredExamples:
        names = self.about.get("sources")
        sources = [names[int(at)] for at in self._file("sources")["source"]] if names else []
        return StoredExamples(self._file("examples"), self._file("windows"), self.maximum, sources)

    def _file(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a file, mapped when they are first asked for."""
        if name not in self._open:
            self._open[name] = store.mapped(self.folder / f"{name}.safetensors")
        return self._open[name]
