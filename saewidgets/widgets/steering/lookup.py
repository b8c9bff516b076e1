"""Labels and search, on threads of their own: both may run the model or read an index."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from saewidgets.widgets.shared.latest import LatestRunner
from saewidgets.widgets.steering.protocol import Describe, Search
from saewidgets.widgets.steering.wire import finite, said, sendable

MOST = 12


class Lookup:
    """Asks for labels and features, newest question first.

    Args:
        describe: see `Describe`, or None.
        search: see `Search`, or None.
        label: receives ``{feature as text: {"label": …, "maximum": …, "note": …}}``.
        answer: receives the message that answers a view's search.
        complain: receives what went wrong with a label.
    """

    def __init__(
        self,
        describe: Describe | None,
        search: Search | None,
        label: Callable[[dict[str, Any]], None],
        answer: Callable[[dict[str, Any]], None],
        complain: Callable[[str], None],
    ) -> None:
        self._describe, self._search, self._answer = describe, search, answer
        self._labels = LatestRunner(
            self._ask_labels, lambda _, found: label(found), lambda _, error: complain(said(error))
        )
        self._finds = LatestRunner(self._find, self._found, self._not_found)

    @property
    def busy(self) -> bool:
        """Whether labels are on their way."""
        return self._labels.busy

    def label(self, features: list[int]) -> None:
        """Ask for the labels of features; a newer call replaces this one, so name all that lack one."""
        if features and self._describe is not None:
            self._labels.submit(features)

    def find(self, query: str, view: str | None) -> None:
        """Answer a view's search."""
        self._finds.submit((query, view))

    def _ask_labels(self, features: list[int], stop: threading.Event) -> dict[str, Any]:
        found = {}
        for feature in features:
            if stop.is_set() or self._describe is None:
                break
            about = self._describe(feature)
            found[str(feature)] = {
                "label": sendable(about.label), "maximum": finite(about.maximum), "note": sendable(about.note)
            }  # fmt: skip
        return found

    def _find(self, asked: tuple[str, str | None], _stop: threading.Event) -> list[list[Any]]:
        if self._search is None:
            raise RuntimeError("this panel was made without search")
        found = self._search(asked[0]).head(MOST)
        return [[int(f), sendable(str(label))] for f, label in zip(found["feature"], found["label"], strict=True)]

    def _found(self, asked: tuple[str, str | None], found: list[list[Any]]) -> None:
        self._answer({"type": "found", "to": asked[1], "query": asked[0], "found": found, "error": ""})

    def _not_found(self, asked: tuple[str, str | None], error: Exception) -> None:
        self._answer({"type": "found", "to": asked[1], "query": asked[0], "found": [], "error": said(error)})
