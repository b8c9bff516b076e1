"""Questions about a corpus: what every feature fires on, its card, search and labels."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saewidgets.records import Example, FeatureCardData
from saewidgets.session.binding import Binding

if TYPE_CHECKING:
    import pandas as pd

    from saewidgets.analysis.cards import Cards
    from saewidgets.index.index import Index
    from saewidgets.widgets.card import FeatureCard


class Corpus(Binding):
    """Features over a corpus."""

    def scan(
        self,
        texts: Any,
        path: str | os.PathLike[str],
        *,
        context_size: int = 256,
        seed: int = 0,
        executor: Executor | None = None,
    ) -> Index:
        """Read a corpus once and learn of every feature how often it fires, on what, and how strongly.

        The index becomes `index`; cards, search, labels and maxima come from it. A scan that was stopped or killed goes
        on where it was when the call is repeated; a finished one is opened again. The result is the same, bit for bit,
        in one go or many, on one worker or many of one kind.

        Args:
            texts: a string, a chat, a `pathlib.Path` of a ``.txt`` or ``.jsonl`` (field ``"text"``; ``.gz`` too), or an
                iterable of these.
            path: folder for the index; `load` opens it with ``index=path``.
            context_size: tokens of a window, BOS included.
            seed: of the samples of examples and tokens.
            executor: any `concurrent.futures.Executor` to read the shards, each worker loading the model once from its
                path; for Dask, ``Client.get_executor()``.

        Raises:
            ValueError: when there is no text, a file cannot be read as text, or ``path`` holds an index of another SAE,
                model, hook or corpus.
            OSError: when ``path`` cannot be written; finished shards are kept.

        Example:
            >>> s.scan(pathlib.Path("corpus.txt"), "my-index")
            >>> s.feature(8192)
        """
        from saewidgets.analysis.corpus import scan_texts

        size = {"context_size": context_size, "seed": seed}
        model, sae, folder = self.model, self.sae, Path(path)

        def work(stop: threading.Event | None) -> Index:
            return scan_texts(model, sae, self.hook_name, texts, folder, self.prepend_bos, executor, stop, **size)

        # With an executor this thread only hands out work; the model's own thread stays free.
        self.index = self._run(work) if executor is None else work(None)
        return self.index

    def feature(self, feature: int) -> FeatureCard:
        """A `FeatureCard`: what one feature means, with every other feature a click away.

        Raises:
            ValueError: when there is no such feature, or no index yet.
        """
        from saewidgets.widgets.card import FeatureCard

        cards = self._cards
        widget = FeatureCard(
            self.card(feature),
            cards.all_features,
            load=lambda feature, stop: cards.card(feature),
            test=self._sentence,
            ablate=lambda example, feature, stop: self.ablation(_ids(example), feature, stop),
            search=lambda query, stop: self.search(query, k=1000),
            set_label=self.label,
        )
        self._keep_badge(widget)
        return widget

    def card(self, feature: int) -> FeatureCardData:
        """What `feature` shows, as one record with ``.frame``, ``.logits``, ``.related`` and ``.token_shares``."""
        from saewidgets.analysis.steer import checked_feature

        return self._cards.card(checked_feature(self.sae, feature))

    def search(self, query: str, k: int = 20) -> pd.DataFrame:
        """Features by a word in their label, among the tokens they fire on or promote: feature, label, score, why.

        Raises:
            ValueError: when the query is empty, or there is no index yet.
        """
        from saewidgets.analysis.search import search

        return search(self._required_index(), self._words, query, k)

    def label(self, feature: int, label: str) -> None:
        """Name a feature by hand, in every view; an empty label gives the automatic one back. Saved beside the index.

        Raises:
            ValueError: when there is no such feature, or no index yet.
        """
        self._required_index().set_label(feature, label)

    def load_labels(self, labels: Any, limit: int | None = None) -> int:
        """Take over many labels at once; others set by hand stay.

        Args:
            labels: a mapping feature → label, the path of a CSV file with columns ``feature`` and ``label``
                (Neuronpedia's ``index`` and ``description`` too), or a callable that is given the `FeatureCardData` of
                every feature that fires, the most frequent first, and returns a label, "" for none.
            limit: at how many features to call a callable; all by default.

        Returns:
            How many labels were set.

        Raises:
            ValueError: when a feature does not exist, or the file has other columns; nothing is changed.
            TypeError: when ``labels`` is none of these, or a label is no string.
        """
        from saewidgets.index.index import read_labels

        index = self._required_index()
        if isinstance(labels, (str, os.PathLike)):
            found: Mapping[Any, Any] = read_labels(Path(labels))
        elif callable(labels):
            found = self._cards.labels_of(labels, limit)
        elif isinstance(labels, Mapping):
            found = labels
        else:
            raise TypeError(f"labels must be a mapping, a path or a callable, got {type(labels).__name__}")
        wrong = next((label for label in found.values() if not isinstance(label, str)), None)
        if wrong is not None:
            raise TypeError(f"a label must be a string, got {wrong!r}")
        new = {int(feature): label.strip() for feature, label in found.items() if label.strip()}
        index.set_labels({**index.own_labels, **new})
        return len(new)

    def ablation(self, text: Any, feature: int, stop: threading.Event | None = None) -> np.ndarray:
        """log p(token) with the feature minus with it set to 0 everywhere, in nats: float32 ``[n]``, NaN at position 0.

        Positive where the feature helped the model to predict the token.

        Args:
            text: a string, a chat, or token numbers.
            feature: which feature.
            stop: set it to end early.

        Raises:
            ValueError: when there is no such feature, or the text is longer than the model's context.
        """
        from saewidgets.analysis.ablation import ablation_effect

        ids = text if isinstance(text, np.ndarray) else np.array(self.model.tokens(text, self.prepend_bos).ids)
        return self._run(lambda stop: ablation_effect(self.model, self.sae, self.hook_name, ids, feature, stop), stop)

    def open_index(self, path: str | os.PathLike[str], labels_file: str | os.PathLike[str] | None = None) -> Index:
        """Use the index that a scan wrote into ``path``.

        Raises:
            FileNotFoundError: when there is none.
            ValueError: when it is damaged, or of another SAE, tokenizer or hook; the message names both.

        Warns:
            UserWarning: naming both, when only number formats, quantisation or the model's weights differ.
        """
        from saewidgets.index.fingerprint import fingerprint, require_same
        from saewidgets.index.index import Index

        index = Index(path, labels_file)
        mine = fingerprint(self.model, self.sae, self.hook_name, self.prepend_bos)
        require_same(index.about, mine, str(index.folder))
        self.index = index
        return index

    def _sentence(self, text: str, feature: int, stop: threading.Event) -> Example:
        from saewidgets.analysis.cards import sentence

        model, sae, hook, bos = self.model, self.sae, self.hook_name, self.prepend_bos
        return self._run(lambda stop: sentence(model, sae, hook, text, feature, bos, stop), stop)

    def _required_index(self) -> Index:
        if self.index is None:
            raise ValueError(
                "there is no corpus index yet: scan some text first, s.scan(texts, 'my-index'), or open one with "
                "sw.load(..., index='my-index')"
            )
        return self.index

    @property
    def _cards(self) -> Cards:
        return self._of_index[0]

    @property
    def _words(self) -> dict[int, str]:
        return self._of_index[1]

    @property
    def _of_index(self) -> tuple[Cards, dict[int, str]]:
        """What is made once an index; another index makes it anew."""
        from saewidgets.analysis.cards import Cards
        from saewidgets.analysis.meaning import named_tokens, token_words

        index = self._required_index()
        if self._made is None or self._made[0] is not index:
            cards = Cards(index, self.model, self.sae, self.provenance)
            self._made = (index, cards, token_words(self.model, named_tokens(index)))
        return self._made[1], self._made[2]


def _ids(example: Example) -> np.ndarray:
    if example.ids is None:
        raise ValueError("the example's token numbers are not known: the model cannot be run on it")
    return example.ids
