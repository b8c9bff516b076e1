"""Questions of a card's views, answered away from the thread they arrive on."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from saewidgets.records import Example, FeatureCardData
from saewidgets.widgets.card import wire
from saewidgets.widgets.card.cards import Cards
from saewidgets.widgets.shared.buffers import pack
from saewidgets.widgets.shared.latest import LatestRunner

if TYPE_CHECKING:
    from saewidgets.widgets.card.card import FeatureCard

Test = Callable[[str, int, threading.Event], Example]
Ablate = Callable[[Example, int, threading.Event], np.ndarray]
Search = Callable[[str, threading.Event], pd.DataFrame]
SetLabel = Callable[[int, str], object]

TYPED = -1
"""Number of the example that is the reader's own sentence."""
HITS = 1_000


@dataclass(frozen=True)
class Question:
    """What a view wants to know; ``generation`` is its own count, by which it knows late answers."""

    kind: str
    view: str | None
    generation: int = 0
    feature: int = 0
    which: int = 0
    text: str = ""
    features: tuple[int, ...] = ()

    @classmethod
    def read(cls, kind: str, view: str | None, message: Mapping[str, Any]) -> Question:
        """A question as a browser sent it."""
        numbers = {name: int(message.get(name, 0)) for name in ("generation", "feature", "which")}
        features = tuple(int(feature) for feature in message.get("features", ()))
        return cls(kind, view, text=str(message.get("text", "")), features=features, **numbers)


class Answers:
    """Answers the views' questions: of each kind the newest only, except labels, which are all kept in order."""

    def __init__(
        self,
        card: FeatureCard,
        cards: Cards,
        *,
        test: Test | None,
        ablate: Ablate | None,
        search: Search | None,
        set_label: SetLabel | None,
    ) -> None:
        self._card, self._cards = card, cards
        self._test, self._ablate, self._search, self._set_label = test, ablate, search, set_label
        works = {"card": self._load, "near": self._load_near, "list": self._load_list}
        works |= {"test": self._run_test} if test else {}
        works |= {"ablate": self._run_ablation} if ablate else {}
        works |= {"search": self._run_search} if search else {}
        self._runners = {kind: LatestRunner(work, self._done, self._failed) for kind, work in works.items()}
        self._labels = ThreadPoolExecutor(1, "saewidgets-labels") if set_label else None

    @property
    def busy(self) -> bool:
        """Whether anything is being computed, labels aside."""
        return any(runner.busy for runner in self._runners.values())

    def ask(self, question: Question) -> None:
        """Answer a question soon; one nobody here can answer is left alone."""
        if not 0 <= question.feature < len(self._card.all_features):
            return
        if question.kind == "label" and self._labels is not None:
            self._labels.submit(self._keep_label, question)
        elif question.kind in self._runners:
            self._runners[question.kind].submit(question)

    def close(self) -> None:
        """Stop what runs; labels already given are still kept."""
        for runner in self._runners.values():
            runner.cancel()
        if self._labels is not None:
            self._labels.shutdown(wait=False)

    # Each kind of work sends its own answer ------------------------------------------------------------------

    def _load(self, question: Question, stop: threading.Event) -> None:
        data = self._cards.get(question.feature, stop)
        if not stop.is_set():
            self._send_card(data)

    def _load_near(self, question: Question, stop: threading.Event) -> None:
        for feature in question.features:
            if stop.is_set() or not 0 <= feature < len(self._card.all_features):
                return
            self._send_card(self._cards.get(feature, stop))

    def _load_list(self, question: Question, stop: threading.Event) -> None:
        # To every view: the newest question is the only one that is answered, and a view keeps its first list.
        self._card._send_blob("list", None, wire.pack_list(self._card.all_features))

    def _send_card(self, data: FeatureCardData) -> None:
        blob = wire.pack_card(data, self._cards.effects(data.feature))
        self._card._send_blob("card", None, blob)

    def _run_test(self, question: Question, stop: threading.Event) -> None:
        assert self._test is not None
        example = self._test(question.text, question.feature, stop)
        if not stop.is_set():
            meta = {"feature": question.feature, "text": question.text}
            self._reply("tested", question, wire.pack_example(example, meta))

    def _run_ablation(self, question: Question, stop: threading.Event) -> None:
        assert self._ablate is not None
        example = self._example(question, stop)
        effect = np.asarray(self._ablate(example, question.feature, stop), np.float32)
        if effect.shape != (len(example.str_tokens),):
            raise ValueError(f"ablate gave {effect.shape} effects for {len(example.str_tokens)} tokens")
        if question.which != TYPED:
            self._cards.add_effect(question.feature, question.which, effect)
        if not stop.is_set():
            meta = {"feature": question.feature, "which": question.which}
            self._reply("ablated", question, pack(meta, {"effect": effect}))

    def _example(self, question: Question, stop: threading.Event) -> Example:
        if question.which == TYPED:
            if self._test is None:
                raise ValueError("this card runs no sentence of your own: it was made without test")
            return self._test(question.text, question.feature, stop)
        data = self._cards.get(question.feature, stop)
        return [*data.top, *data.intervals][question.which]

    def _run_search(self, question: Question, stop: threading.Event) -> None:
        assert self._search is not None
        found = self._search(question.text, stop).head(HITS)
        why = [str(reason) for reason in found["why"]] if "why" in found else []
        if not stop.is_set():
            meta = {"query": question.text, "why": why}
            self._reply("found", question, pack(meta, {"features": found["feature"].to_numpy().astype("<u4")}))

    def _keep_label(self, question: Question) -> None:
        assert self._set_label is not None
        try:
            self._set_label(question.feature, question.text)
            data = self._labelled(question)
        except Exception as error:
            self._failed(question, error)
            return
        stats = data.stats
        self._card._relabel(question.feature, stats.label)
        self._card.send({"type": "labelled", "to": None, **wire.stats_meta(stats)})

    def _labelled(self, question: Question) -> FeatureCardData:
        """The card with its new label; one taken back shows whatever stood there before, which only load knows."""
        if self.loads:
            self._cards.forget(question.feature)
            return self._cards.get(question.feature, threading.Event())
        old = self._cards.get(question.feature, threading.Event())
        source = "you" if question.text else ""
        stats = dataclasses.replace(old.stats, label=question.text, label_source=source, label_score=float("nan"))
        data = dataclasses.replace(old, stats=stats)
        self._cards.put(data)
        return data

    @property
    def loads(self) -> bool:
        """Whether other features than the first can be shown."""
        return self._cards.loads

    def _reply(self, kind: str, question: Question, blob: bytes) -> None:
        self._card._send_blob(kind, question.view, blob, generation=question.generation)

    def _done(self, question: Question, result: None) -> None:
        """Everything was sent by the work itself."""

    def _failed(self, question: Question, error: Exception) -> None:
        # A card fetched ahead of time fails again, and is heard, when somebody goes there.
        if question.kind == "near":
            return
        message = str(error).strip().split("\n")[0] or type(error).__name__
        asked = {"kind": question.kind, "generation": question.generation, "feature": question.feature}
        to = None if question.kind == "card" else question.view
        self._card.send({"type": "failed", "to": to, "message": message, "which": question.which, **asked})
