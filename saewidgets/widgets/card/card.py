"""FeatureCard: what one feature means, and every other feature a click away."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import traitlets as t

from saewidgets.records import FeatureCardData, FeatureList, Provenance, TrustReport
from saewidgets.widgets.card import wire
from saewidgets.widgets.card.answers import Ablate, Answers, Question, Search, SetLabel, Test
from saewidgets.widgets.card.cards import Cards, Load
from saewidgets.widgets.card.fallback import fallback_html
from saewidgets.widgets.card.page import Page
from saewidgets.widgets.shared.base import Widget
from saewidgets.widgets.shared.buffers import chunks
from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm
from saewidgets.widgets.shared.numbers import as_int
from saewidgets.widgets.shared.run.base import answer_in_subshells
from saewidgets.widgets.shared.static_page import save_page

SCRIPTS = (
    *("shared/dom.js", "shared/icons.js", "shared/svg.js", "shared/buffers.js", "shared/floating.js"),
    *("shared/badge.js", "shared/glyphs.js", "shared/colors.js", "card/data.js", "card/format.js"),
    *("card/kwic.js", "card/example.js", "card/examples.js", "card/histogram.js", "card/numbers.js"),
    *("card/label.js", "card/tester.js", "card/order.js", "card/list.js", "card/browse.js", "card/view.js"),
    *("card/reading.js", "card/follow.js", "card/pointing.js", "card/card.js"),
)
STYLES = (
    *("shared/theme.css", "shared/badge.css", "shared/controls.css", "shared/tokens.css"),
    *("card/card.css", "card/list.css", "card/numbers.css", "card/examples.css"),
)


class FeatureCard(Widget):
    """One feature: how often and on what it fires, what it promotes, what is like it; browse to any other.

    Example:
        >>> card = FeatureCard(data, all_features, load=index.card)     # doctest: +SKIP
        >>> card.feature = 8192                                         # doctest: +SKIP
        >>> card.save_html("page.html", features=[8192, 31, 7])         # doctest: +SKIP

    The callables block and run on the widget's own threads, a newer question of the same kind before an older one;
    ``stop`` is set once an answer is no longer wanted, and an exception's message is shown in the card.

    Args:
        data: the card to open with.
        all_features: a few numbers of every feature, for the list.
        load: ``load(feature, stop)`` makes the card of another feature; without it there is only this one.
        test: ``test(text, feature, stop)`` runs a reader's own sentence: an `Example` of all its tokens.
        ablate: ``ablate(example, feature, stop)``: log-probability of every token with the feature minus without it
            in the whole context, in nats, float32 ``[n]``, NaN where nothing is predicted.
        search: ``search(query, stop)``: a DataFrame with ``feature``, best first, and perhaps ``why``.
        set_label: ``set_label(feature, text)`` keeps a reader's label; an empty one takes it back.
        badge: whether the SAE fits the model: a TrustReport, a dict of `badge_of`, or None for "not checked".
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)
    _page_traits = ("feature", "features", "_can")

    feature = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """The feature shown; two-way. None, as when a linked view has nothing chosen, leaves the card as it is."""

    features = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """The features listed, for example those chosen in a map; None lists all; two-way."""

    _can = t.List(t.Unicode()).tag(sync=True)

    def __init__(
        self,
        data: FeatureCardData,
        all_features: FeatureList,
        *,
        load: Load | None = None,
        test: Test | None = None,
        ablate: Ablate | None = None,
        search: Search | None = None,
        set_label: SetLabel | None = None,
        badge: TrustReport | Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= data.feature < len(all_features):
            raise ValueError(f"the card is of feature {data.feature}, but all_features has {len(all_features)}")
        self._all_features = all_features
        self._cards = Cards(data, load)
        self._shown = data.feature
        self._provenance_shown = data.provenance
        self._serial = itertools.count(1)
        self._answers = Answers(self, self._cards, test=test, ablate=ablate, search=search, set_label=set_label)
        known = {"load": load, "test": test, "ablate": ablate, "search": search, "label": set_label}
        can = [name for name, call in known.items() if call is not None]
        super().__init__(feature=data.feature, badge=badge, _can=can)
        answer_in_subshells(self.comm)
        self.on_msg(self._on_message)

    @property
    def data(self) -> FeatureCardData:
        """The card shown; loads it first where that has not happened yet."""
        return self._cards.get(self._shown, threading.Event())

    @property
    def all_features(self) -> FeatureList:
        """A few numbers of every feature; its ``.frame`` has a row a feature."""
        return self._all_features

    @property
    def frame(self) -> pd.DataFrame:
        """One row an example of the feature shown: interval, activation, str_token, position, text, source.

        The card's other tables are ``.data.logits``, ``.data.related``, ``.data.token_shares`` and
        ``.data.stats.frame``.
        """
        return self.data.frame

    def close(self) -> None:
        """Take the card off every view and answer nothing more."""
        answers = getattr(self, "_answers", None)
        if answers is not None:
            answers.close()
        super().close()

    def __repr__(self) -> str:
        label = str(self._all_features.labels[self._shown])
        return f"<FeatureCard: feature {self._shown}{f', {label!r}' if label else ''}>"

    # What may be set -----------------------------------------------------------------------------------------

    @t.validate("feature")
    def _validate_feature(self, proposal: Mapping[str, Any]) -> int:
        given, n = proposal["value"], len(self._all_features)
        feature = as_int(given)
        if feature is None or not 0 <= feature < n:
            raise t.TraitError(f"feature must be a number from 0 to {n - 1}, got {given!r}")
        if not self._answers.loads and feature not in self._cards:
            raise t.TraitError(f"this card was made without load: it shows feature {self._shown} only")
        return feature

    @t.validate("features")
    def _validate_features(self, proposal: Mapping[str, Any]) -> list[int] | None:
        given, n = proposal["value"], len(self._all_features)
        if given is None:
            return None
        try:
            numbers = [as_int(part) for part in given]
        except TypeError:
            raise t.TraitError(f"features must be a list of numbers, or None, got {given!r}") from None
        wrong = [part for part, whole in zip(given, numbers, strict=True) if whole is None or not 0 <= whole < n]
        if wrong:
            raise t.TraitError(f"features must be numbers from 0 to {n - 1}, got {wrong[0]!r}")
        return [whole for whole in numbers if whole is not None]

    @t.observe("feature")
    def _feature_set(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self._shown = change["new"]

    # Messages ------------------------------------------------------------------------------------------------

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        kind, view = message.get("type"), message.get("view")
        if kind == "ready":
            self._answers.ask(Question("card", view, feature=self._shown))
            self._answers.ask(Question("list", view))
        elif isinstance(kind, str):
            self._answers.ask(Question.read(kind, view, message))

    def _relabel(self, feature: int, label: str) -> None:
        """Show a label in the list that was given to a feature."""
        old = self._all_features
        labels = list(old.labels)
        labels[feature] = label
        self._all_features = FeatureList(old.density, old.maximum, labels, old.label_scores)

    def _send_blob(self, kind: str, view: str | None, blob: bytes, **extra: Any) -> None:
        """Send a packed blob in pieces, to one view or to all."""
        serial, parts = next(self._serial), chunks(blob)
        for i, part in enumerate(parts):
            head = {"type": kind, "to": view, "acts": serial, "part": i, "parts": len(parts), **extra}
            self.send(head, buffers=[part])

    # Other forms ---------------------------------------------------------------------------------------------

    def save_html(
        self, path: str | os.PathLike[str], title: str | None = None, *, features: Sequence[int] | None = None
    ) -> None:
        """Write one HTML file of this card, or of several to browse, that needs no kernel and no network.

        Args:
            path: where to write; an existing file is replaced in one step.
            title: title of the page; by default made from what is shown.
            features: the features to save, the first one shown; by default the one shown here.

        Raises:
            ValueError: when ``features`` is empty or names no feature of this SAE.
        """
        numbers = [self._shown] if features is None else self._numbers(features)
        page = self._page(numbers)
        save_page(path, page, title or self._page_title(numbers[0]))

    def _page(self, numbers: Sequence[int]) -> Page:
        never = threading.Event()
        cards = {f: wire.pack_card(self._cards.get(f, never), self._cards.effects(f)) for f in numbers}
        badge = super()._page_state()["badge"]
        return Page(self._esm, self._css, cards, self._all_features, badge, self._provenance())

    def _numbers(self, features: Sequence[int]) -> list[int]:
        n = len(self._all_features)
        numbers = [as_int(feature) for feature in features]
        found = list(dict.fromkeys(number for number in numbers if number is not None and 0 <= number < n))
        if not found or any(number is None or not 0 <= number < n for number in numbers):
            raise ValueError(f"features must be numbers from 0 to {n - 1}, at least one, got {list(features)!r}")
        return found

    def _page_title(self, feature: int | None = None) -> str:
        shown = self._shown if feature is None else feature
        label = str(self._all_features.labels[shown])
        return f"Feature {shown}{f' · {label}' if label else ''}"

    def _provenance(self) -> Provenance:
        return self._provenance_shown

    def _fallback_html(self) -> str:
        return fallback_html(self.data)
