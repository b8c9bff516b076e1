"""TokenHeatmap: a text coloured by the features of a sparse autoencoder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import traitlets as t

from saewidgets.records import Provenance, TokenActs, TrustReport
from saewidgets.widgets.heatmap import wire
from saewidgets.widgets.heatmap.fallback import fallback_html
from saewidgets.widgets.shared.base import Widget
from saewidgets.widgets.shared.buffers import chunks
from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm
from saewidgets.widgets.shared.latest import LatestRunner
from saewidgets.widgets.shared.numbers import as_int

SCRIPTS = (
    *("shared/dom.js", "shared/icons.js", "shared/buffers.js", "shared/floating.js", "shared/badge.js"),
    *("shared/glyphs.js", "shared/colors.js", "heatmap/acts.js", "heatmap/text.js", "heatmap/tooltip.js"),
    *("heatmap/header.js", "heatmap/list.js", "heatmap/editor.js", "heatmap/keys.js", "heatmap/heatmap.js"),
)
STYLES = (
    *("shared/theme.css", "shared/badge.css", "shared/controls.css", "shared/tokens.css"),
    *("heatmap/heatmap.css", "heatmap/list.css"),
)

Compute = Callable[[str, threading.Event], TokenActs]


class Shown:
    """Acts on display with their number, by which late answers about older ones are told apart."""

    def __init__(self, acts: TokenActs, number: int) -> None:
        self.acts, self.number = acts, number

    @cached_property
    def packed(self) -> bytes:
        """The acts as sent to every view."""
        return wire.pack_acts(self.acts)


class Edit(NamedTuple):
    """A text to recompute, and the view and keystroke that asked, None where Python did."""

    text: str
    view: str | None = None
    generation: int = 0


class TokenHeatmap(Widget):
    """A text coloured by one feature, or by the strongest feature of every token.

    Example:
        >>> heatmap = TokenHeatmap(acts)                        # doctest: +SKIP
        >>> heatmap.feature = 8192                              # doctest: +SKIP
        >>> heatmap.save_html("page.html")                      # doctest: +SKIP

    Args:
        acts: the features of every token.
        compute: computes the acts of an edited text, blocking; its event is set once a newer text has arrived.
            Without it the text cannot be edited.
        feature: the feature to show; None shows the strongest of every token.
        badge: whether the SAE fits the model: a TrustReport, a dict of `badge_of`, or None for "not checked".
        scale_by: ``"text"`` or ``"feature"``, see the trait.
        show_whitespace: see the trait.
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)
    _page_traits = ("feature", "position", "scale_by", "show_whitespace", "_editable")

    feature = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """The feature shown, or None for the strongest of every token; two-way."""

    position = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """The selected token as ``[text, position]``, or None; two-way."""

    scale_by = t.Enum(("text", "feature"), default_value="text").tag(sync=True)
    """Full colour is the text's maximum, or each feature's known maximum."""

    show_whitespace = t.Bool(False).tag(sync=True)
    """Draw spaces, tabs and line ends."""

    text = t.Unicode("")
    """The text shown; setting it recomputes."""

    _editable = t.Bool(False).tag(sync=True)

    def __init__(
        self,
        acts: TokenActs,
        *,
        compute: Compute | None = None,
        feature: int | None = None,
        badge: TrustReport | Mapping[str, Any] | None = None,
        scale_by: str = "text",
        show_whitespace: bool = False,
    ) -> None:
        self._shown = Shown(acts, 1)
        self._compute = compute
        self._runner = LatestRunner(self._recompute, self._recomputed, self._failed)
        super().__init__(
            feature=feature,
            badge=badge,
            scale_by=scale_by,
            show_whitespace=show_whitespace,
            text=wire.joined_text(acts),
            _editable=compute is not None and len(acts.texts) == 1,
        )
        self.on_msg(self._on_message)

    @property
    def acts(self) -> TokenActs:
        """The features of every token shown; setting it redraws."""
        return self._shown.acts

    @acts.setter
    def acts(self, acts: TokenActs) -> None:
        self._runner.cancel()
        self._show(acts, None)

    @property
    def frame(self) -> pd.DataFrame:
        """One row an active (token, feature) pair: text, position, str_token, feature, activation."""
        return self.acts.frame

    def __repr__(self) -> str:
        shown = "strongest features" if self.feature is None else f"feature {self.feature}"
        return f"<TokenHeatmap: {len(self.acts)} tokens, {shown}>"

    # What may be set -----------------------------------------------------------------------------------------

    @t.validate("feature")
    def _validate_feature(self, proposal: Mapping[str, Any]) -> int | None:
        given, d_sae = proposal["value"], self.acts.d_sae
        feature = None if given is None else as_int(given)
        if given is not None and (feature is None or not 0 <= feature < d_sae):
            raise t.TraitError(f"feature must be a number from 0 to {d_sae - 1}, or None, got {given!r}")
        return feature

    @t.validate("position")
    def _validate_position(self, proposal: Mapping[str, Any]) -> list[int] | None:
        given = proposal["value"]
        if given is None:
            return None
        pair = [as_int(part) for part in given] if isinstance(given, (list, tuple)) else []
        if len(pair) != 2 or None in pair or not self._has(pair):
            raise t.TraitError(f"position must be [text, position] of a token shown, or None, got {given!r}")
        return [part for part in pair if part is not None]

    @t.observe("text")
    def _text_set(self, change: Mapping[str, Any]) -> None:
        if change["new"] == wire.joined_text(self.acts):
            return
        if not self._editable:
            self.text = wire.joined_text(self.acts)
            raise t.TraitError("this heatmap's text cannot be edited: it was made without compute, or of several texts")
        self._runner.submit(Edit(change["new"]))

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take a change from the browser; a token it clicked before it saw the newest text is ignored."""
        position = sync_data.get("position")
        if position is not None and not self._has(position):
            sync_data = {name: value for name, value in sync_data.items() if name != "position"}
        super().set_state(sync_data)

    def _has(self, position: Any) -> bool:
        return bool(np.any((self.acts.text == position[0]) & (self.acts.position == position[1])))

    # Recomputing ---------------------------------------------------------------------------------------------

    def _recompute(self, edit: Edit, stop: threading.Event) -> TokenActs:
        if self._compute is None:
            raise RuntimeError("this heatmap was made without compute")
        return self._compute(edit.text, stop)

    def _recomputed(self, edit: Edit, acts: TokenActs) -> None:
        self._show(acts, edit)

    def _failed(self, edit: Edit, error: Exception) -> None:
        message = str(error).strip().split("\n")[0] or type(error).__name__
        if edit.view is None:
            self.text = wire.joined_text(self.acts)
        self.send({"type": "failed", "message": message, "editing": editing(edit)})

    def _show(self, acts: TokenActs, edit: Edit | None) -> None:
        self._shown = Shown(acts, self._shown.number + 1)
        if self.position is not None and not self._has(self.position):
            self.position = None
        if self.feature is not None and self.feature >= acts.d_sae:
            self.feature = None
        self.text = wire.joined_text(acts)
        self._send_acts(None, edit)

    # Messages ------------------------------------------------------------------------------------------------

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        view, shown = message.get("view"), self._shown
        match message.get("type"):
            case "ready":
                self._send_acts(view, None)
            case "column":
                blob = wire.pack_column(shown.acts, int(message["feature"]))
                self._send_blob("column", view, shown.number, blob)
            case "token" if 0 <= int(message["token"]) < len(shown.acts):
                blob = wire.pack_token(shown.acts, int(message["token"]))
                self._send_blob("token", view, shown.number, blob)
            case "edit" if self._editable:
                self._runner.submit(Edit(message["text"], view, int(message["generation"])))

    def _send_acts(self, view: str | None, edit: Edit | None) -> None:
        shown = self._shown
        self._send_blob("acts", view, shown.number, shown.packed, editing=editing(edit))

    def _send_blob(self, kind: str, view: str | None, number: int, blob: bytes, **extra: Any) -> None:
        """Send a packed blob in pieces, to one view or to all."""
        parts = chunks(blob)
        for i, part in enumerate(parts):
            head = {"type": kind, "to": view, "acts": number, "part": i, "parts": len(parts), **extra}
            self.send(head, buffers=[part])

    # Other forms ---------------------------------------------------------------------------------------------

    def _page_state(self) -> dict[str, Any]:
        return {**super()._page_state(), "_editable": False}

    def _page_blob(self) -> bytes:
        return wire.pack_acts(self.acts, whole=True)

    def _page_title(self) -> str:
        name = "Strongest features" if self.feature is None else f"Feature {self.feature}"
        words = " ".join(self.text.split())
        return f"{name} · {words[:60]}{'…' if len(words) > 60 else ''}"

    def _provenance(self) -> Provenance:
        return self.acts.provenance

    def _fallback_html(self) -> str:
        return fallback_html(self.acts, self.feature)


def editing(edit: Edit | None) -> dict[str, Any] | None:
    """What tells a view which of its keystrokes an answer belongs to."""
    return None if edit is None else {"view": edit.view, "generation": edit.generation}
