"""The base of every widget: badge, saved page, static fallback, cheap repr."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import anywidget
import pandas as pd
import traitlets as t

from saewidgets.records import Provenance
from saewidgets.widgets.shared.badge import UNCHECKED, as_badge
from saewidgets.widgets.shared.static_page import save_page


class Widget(anywidget.AnyWidget):
    """What all widgets share; a subclass sets ``_esm``, ``_css`` and the methods below that raise.

    The badge may be set from any thread, as a dict of `badge_of`, a TrustReport or None.
    """

    _esm = ""
    _css = ""
    _page_traits: tuple[str, ...] = ()

    badge = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """Whether the SAE fits the model, see `badge_of`; always read back as a dict."""

    @t.default("badge")
    def _default_badge(self) -> dict[str, Any]:
        return dict(UNCHECKED)

    @t.validate("badge")
    def _validate_badge(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return as_badge(proposal["value"])
        except (TypeError, ValueError) as error:
            raise t.TraitError(str(error)) from None

    @property
    def frame(self) -> pd.DataFrame:
        """What the widget shows, as a DataFrame."""
        raise NotImplementedError

    def save_html(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        """Write one HTML file that needs no kernel and no network; an existing file is replaced in one step.

        Args:
            path: where to write.
            title: title of the page; by default made from what is shown.
        """
        save_page(path, self, title or self._page_title())

    def _page_state(self) -> dict[str, Any]:
        """Synced traits as the saved page's model knows them."""
        state = {name: getattr(self, name) for name in ("badge", *self._page_traits)}
        if state["badge"]["status"] == "pending":
            # No page can wait for a check that ran in a kernel.
            state["badge"] = dict(UNCHECKED)
        return state

    def _page_blob(self) -> bytes:
        """Bulk data of the saved page, as the kernel would have sent it; empty where there is none."""
        return b""

    def _page_title(self) -> str:
        raise NotImplementedError

    def _provenance(self) -> Provenance:
        raise NotImplementedError

    def _fallback_html(self) -> str:
        """Inert HTML for readers that show no widgets."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, "text/html": self._fallback_html()}, metadata
