"""SteeringPanel: turn features up and watch the model write."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from saewidgets.records import Kind, Provenance, Steered, Sweep
from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm
from saewidgets.widgets.shared.run.base import answer_in_subshells
from saewidgets.widgets.steering import asked, chat, wire
from saewidgets.widgets.steering.fallback import fallback_html
from saewidgets.widgets.steering.lookup import Lookup
from saewidgets.widgets.steering.protocol import Describe, Generate, Prompt, Search, Settings, SweepCall
from saewidgets.widgets.steering.runs import Runs
from saewidgets.widgets.steering.shown import shown_frame
from saewidgets.widgets.steering.telling import Telling

SCRIPTS = (
    *("shared/dom.js", "shared/icons.js", "shared/svg.js", "shared/buffers.js", "shared/floating.js"),
    *("shared/badge.js", "steering/words.js", "steering/recorded.js", "steering/asked.js", "steering/search.js"),
    *("steering/dial.js", "steering/dose.js", "steering/feature.js", "steering/settings.js", "steering/texts.js"),
    *("steering/ribbon.js", "steering/code.js", "steering/turns.js", "steering/prompt.js", "steering/steering.js"),
)
STYLES = (
    *("shared/theme.css", "shared/badge.css", "steering/steering.css", "steering/turns.css", "steering/feature.css"),
    "steering/texts.css",
)


class SteeringPanel(Telling):
    """The bare model and the steered one side by side, with a slider for every feature and what it costs.

    Every callable runs on a thread of the panel's and must not touch it. A request made while another runs replaces it.

    Example:
        >>> panel = SteeringPanel(generate, d_sae=16384, prompt="Who are you?")    # doctest: +SKIP
        >>> panel.strengths = {8192: 6.0}                                          # doctest: +SKIP
        >>> panel.write()                                                          # doctest: +SKIP

    Args:
        generate: writes both texts, see `protocol.Generate`.
        d_sae: number of features.
        sweep: continues a prompt at many strengths, see `protocol.SweepCall`; without it there is no dose–response.
        search: features for a query, see `protocol.Search`; without it features are found by number.
        describe: label and maximum of a feature, see `protocol.Describe`.
        prompt: what to continue; a chat is shown with its earlier turns, and the user's last one is edited.
        strengths: ``{feature: strength}`` or interventions of one kind; None strengths and features that are absent are
            off.
        provenance: which model, SAE and hook.
        opened: the line of Python that opens the session, for "show code".
        **settings: where to begin, see `protocol.Settings`.
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)
    _page_traits = (
        *("feature", "features", "strengths", "prompt", "turns", "kind", "settings", "_labels", "_status", "_can"),
        *("_source", "_live"),
    )

    def __init__(
        self,
        generate: Generate,
        *,
        d_sae: int,
        sweep: SweepCall | None = None,
        search: Search | None = None,
        describe: Describe | None = None,
        prompt: Prompt = "",
        strengths: Any = None,
        provenance: Provenance | None = None,
        opened: str = "",
        **settings: Any,
    ) -> None:
        self._d_sae = int(d_sae)
        self._place = provenance or Provenance()
        self._run = 0
        self._runs = Runs(generate, sweep, self._now, self)
        self._lookup = Lookup(describe, search, self._keep_labels, lambda message: self.send(message), self._complain)
        on, kind = asked.read_strengths(strengths)
        last, turns = chat.split(prompt)
        super().__init__(
            features=asked.as_features(on, self._d_sae),
            strengths=on,
            prompt=last,
            turns=turns,
            kind=kind,
            settings=settings,
            _status={"state": "idle", "run": 0, "progress": 0.0, "error": "", "feature": None},
            _can={
                "sweep": sweep is not None,
                "search": search is not None,
                "d_sae": self._d_sae,
                "starts": asked.STARTS,
                "limits": {name: list(limits) for name, limits in asked.LIMITS.items()},
            },
            _source={"place": str(self._place), "opened": opened or opening(self._place)},
        )
        answer_in_subshells(self.comm)
        self.on_msg(self._on_message)
        self._label_new()

    def __repr__(self) -> str:
        on = ", ".join(f"{feature}: {strength:g}" for feature, strength in self.strengths.items())
        return f"<SteeringPanel: {{{on}}}, {self._status['state']}, {len(self._sweeps)} sweeps>"

    # What one may do -----------------------------------------------------------------------------------------

    @property
    def frame(self) -> pd.DataFrame:
        """One row a text: source, feature, kind, strength, readback, kl, perplexity, …, sweet_spot, text.

        ``source`` is ``"written"`` (the two texts side by side; their strength is that of the row's feature) or
        ``"swept"``; what was not measured is NaN. Where a chat was continued, a column ``chat`` holds its turns.
        """
        return shown_frame(self._request, self._results, list(self._sweeps.values()))

    @property
    def tokens(self) -> pd.DataFrame:
        """One row a token of the steered text and feature, see `Steered.frame`.

        Raises:
            ValueError: when no text has been written to its end.
        """
        if self._results is None:
            raise ValueError("nothing has been written yet: call write(), then wait()")
        return self._results[1].frame

    @property
    def results(self) -> tuple[Steered, Steered] | None:
        """The bare and the steered text last written to their end, or None."""
        return self._results

    @property
    def sweeps(self) -> dict[int, Sweep]:
        """The sweeps recorded, by feature."""
        return {feature: sweep for feature, (sweep, _) in self._sweeps.items()}

    def write(self) -> None:
        """Begin to write both texts; returns at once."""
        self._submit(self.prompt, self.strengths, self.kind, asked.as_settings(self.settings))  # pyright: ignore[reportArgumentType]

    def run_sweep(self, feature: int | None = None, strengths: Sequence[float] | None = None) -> None:
        """Begin to continue the prompt at many strengths of a feature, by default the one in hand; returns at once.

        Raises:
            ValueError: when no feature is in hand or it does not exist, or the panel was made without ``sweep``.
        """
        chosen = self.feature if feature is None else feature
        if chosen is None and len(self.features) == 1:
            chosen = self.features[0]
        if chosen is None:
            raise ValueError("which feature? Set the panel's feature, or pass one")
        if not self._can["sweep"]:
            raise ValueError("this panel was made without sweep")
        chosen = asked.as_feature(chosen, self._d_sae)
        self.feature = chosen
        swept = asked.SWEEPS[self.kind] if strengths is None else tuple(map(float, strengths))
        self._submit(
            self.prompt,
            self.strengths,
            self.kind,  # pyright: ignore[reportArgumentType]
            asked.as_settings(self.settings),
            feature=chosen,
            swept=swept,
        )

    def stop(self) -> None:
        """End what runs and keep what there is of it; the model is left as it was."""
        self._runs.halt()

    def reset(self) -> None:
        """Switch every feature off and stop."""
        self.stop()
        self.strengths = {}

    def wait(self, timeout: float | None = None) -> None:
        """Block until nothing runs.

        Raises:
            TimeoutError: when that takes longer than ``timeout`` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self._runs.busy or self._lookup.busy:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"still {self._status['state']} after {timeout:g} seconds")
            time.sleep(0.01)

    def close(self) -> None:
        """Stop, and end the widget."""
        if hasattr(self, "_runs"):
            self._runs.halt()
        super().close()

    # Running -------------------------------------------------------------------------------------------------

    def _submit(
        self, prompt: str, strengths: Mapping[int, float], kind: Kind, settings: Settings, **sweep: Any
    ) -> None:
        with self._turn:
            self._run += 1
            self._runs.submit(
                self._run,
                prompt=prompt,
                turns=self.turns,
                strengths=dict(strengths),
                kind=kind,
                settings=settings,
                **sweep,
            )

    def _label_new(self) -> None:
        self._lookup.label([feature for feature in self.features if str(feature) not in self._labels])

    def _keep_labels(self, found: dict[str, Any]) -> None:
        self._labels = {**self._labels, **found}  # pyright: ignore[reportGeneralTypeIssues]

    # Messages ------------------------------------------------------------------------------------------------

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        try:
            self._answer(message)
        except Exception as error:  # a view has nobody else to tell
            self._complain(wire.said(error))

    def _answer(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "ready":
                self._send_blob("acts", message.get("view"), self._page_blob())
                if message.get("first") and self._run == 0 and self.prompt.strip() and self.strengths:
                    self.write()
            case "write" | "sweep" as what:
                # The traits of a view may arrive after its message: what it asks for comes with it.
                given = message["asked"]
                self.strengths = asked.as_strengths(given["strengths"], self._d_sae)
                kind, settings = asked.as_kind(given["kind"]), asked.as_settings(given["settings"])
                request = (str(given["prompt"]), self.strengths, kind, settings)
                if what == "write":
                    self._submit(*request)
                else:
                    feature = asked.as_feature(message["feature"], self._d_sae)
                    self._submit(*request, feature=feature, swept=asked.SWEEPS[kind])
            case "stop":
                self.stop()
            case "search":
                self._lookup.find(str(message["query"]), message.get("view"))

    # Other forms ---------------------------------------------------------------------------------------------

    def _page_state(self) -> dict[str, Any]:
        idle = {"state": "idle", "run": self._run, "progress": 0.0, "error": "", "feature": None}
        return {**super()._page_state(), "_live": False, "_status": idle, "_can": {**self._can, "sweep": False}}

    def _page_title(self) -> str:
        names = [self._labels.get(str(f), {}).get("label") or f"feature {f}" for f in self.strengths or self._sweeps]
        return f"Steering · {', '.join(names) or 'nothing switched on'}"

    def _provenance(self) -> Provenance:
        return self._place

    def _fallback_html(self) -> str:
        return fallback_html(self.prompt, self.turns, self._runs.texts(), self.frame)


def opening(place: Provenance) -> str:
    """A line of Python that opens a session like this one; its provenance does not tell where the SAE came from."""
    given = f"{place.model or '…'!r}, sae='…', hook_name={place.hook_name or '…'!r}"
    return f"s = sw.load({given})  # {place.sae} {place.sae_hash}".rstrip(" #")
