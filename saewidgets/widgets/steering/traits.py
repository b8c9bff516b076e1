"""The panel's traits: what may be set, from Python and from the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets as t

from saewidgets.records import Intervention
from saewidgets.widgets.shared.base import Widget
from saewidgets.widgets.steering import asked, chat
from saewidgets.widgets.steering.protocol import KINDS


class SteeringTraits(Widget):
    """Features with a slider each, what is switched on, the prompt, and how texts are written.

    A subclass sets ``_d_sae`` before the traits.
    """

    _d_sae: int
    _on: tuple[Intervention, ...] = ()

    feature = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """The feature in hand, or None; setting it adds its slider, switched off; two-way."""

    features = t.List().tag(sync=True)
    """The features that have a slider, a list of at most eight; two-way."""

    strengths = t.Dict().tag(sync=True, to_json=lambda given, _: {str(f): m for f, m in given.items()})
    """``{feature: strength}`` of what is on; moved while a text is written, it steers what follows; two-way."""

    prompt = t.Unicode("").tag(sync=True)
    """What to continue, or the user's last turn of a chat; two-way."""

    turns = t.List(default_value=None, allow_none=True).tag(sync=True)
    """The turns of a chat before the prompt, ``[{"role": …, "content": …}]``; None where the prompt is no chat."""

    kind = t.Enum(KINDS, default_value="clamp").tag(sync=True)
    """Clamp to multiples of the maximum, hold at least there, or add a fraction of the residual norm; two-way."""

    settings = t.Dict().tag(sync=True)
    """How texts are written, see `protocol.Settings`; two-way."""

    _labels = t.Dict().tag(sync=True)
    _status = t.Dict().tag(sync=True)
    _can = t.Dict().tag(sync=True)
    _source = t.Dict().tag(sync=True)
    _live = t.Bool(True).tag(sync=True)

    @t.validate("feature", "features", "strengths", "settings", "turns")
    def _validate(self, proposal: Mapping[str, Any]) -> Any:
        name, given = proposal["trait"].name, proposal["value"]
        try:
            if name == "strengths":
                return asked.as_strengths(given, self._d_sae)
            if name == "settings":
                return asked.as_settings(given)
            if name == "turns":
                return None if given is None else chat.as_turns(given)
            if name == "feature":
                return None if given is None else asked.as_feature(given, self._d_sae)
            return asked.as_features(given, self._d_sae)
        except (TypeError, ValueError) as error:
            raise t.TraitError(str(error)) from None

    @t.observe("feature", "strengths")
    def _has_sliders(self, change: Mapping[str, Any]) -> None:
        wanted = self.strengths if change["name"] == "strengths" else [self.feature]
        missing = [feature for feature in wanted if feature is not None and feature not in self.features]
        if missing:
            self.features = [*self.features, *missing][-asked.MOST :]

    @t.observe("features")
    def _only_sliders(self, _change: Mapping[str, Any]) -> None:
        self.strengths = {f: m for f, m in self.strengths.items() if f in self.features}
        if self.feature is not None and self.feature not in self.features:
            self.feature = None
        self._label_new()

    @t.observe("kind")
    def _within_limits(self, _change: Mapping[str, Any]) -> None:
        self.strengths = asked.clipped(self.strengths, self.kind)  # pyright: ignore[reportArgumentType]

    @t.observe("strengths", "kind")
    def _keep_what_is_on(self, _change: Mapping[str, Any]) -> None:
        self._on = asked.interventions(asked.clipped(self.strengths, self.kind), self.kind)  # pyright: ignore[reportArgumentType]

    def _now(self) -> tuple[Intervention, ...]:
        # Not from the trait: while a message from the browser is taken in, other threads see it unvalidated.
        return self._on

    def _label_new(self) -> None:
        raise NotImplementedError
