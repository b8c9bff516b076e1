"""The base of widgets that watch a training run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import traitlets as t

from saewidgets.records import Provenance
from saewidgets.widgets.shared.base import Widget
from saewidgets.widgets.shared.buffers import messages, pack
from saewidgets.widgets.shared.run.protocol import TrainingRun
from saewidgets.widgets.shared.run.pulse import Pulse
from saewidgets.widgets.shared.run.wire import history_arrays, plain, status_of

HZ = 8
SCRIPTS = (
    *("shared/dom.js", "shared/icons.js", "shared/svg.js", "shared/buffers.js"),
    *("shared/run/format.js", "shared/run/history.js", "shared/run/feed.js", "shared/run/strip.js"),
)
STYLES = ("shared/theme.css", "shared/run/strip.css")


class RunWidget(Widget):
    """Watches a run: sends its status as a trait and its history as messages, the whole of it to a new view.

    Args:
        run: a training that goes on in its own thread.
    """

    _page_traits = ("_status", "_live")

    _status = t.Dict().tag(sync=True)
    _live = t.Bool(True).tag(sync=True)

    def __init__(self, run: TrainingRun, **traits: Any) -> None:
        self._run = run
        self._turn = threading.RLock()
        self._rows = len(run.history)
        self._serial = 0
        super().__init__(_status=status_of(run), **traits)
        answer_in_subshells(self.comm)
        self._pulse = Pulse(self._beat, HZ)
        self.on_msg(self._on_message)
        self._unsubscribe: Callable[[], None] | None = run.subscribe(self._heard)
        # Whatever happened between reading the status and subscribing.
        self._pulse.poke()

    @property
    def run(self) -> TrainingRun:
        """The training watched."""
        return self._run

    @property
    def sae(self) -> Any:
        """What was learnt; waits until the run is over."""
        return self._run.sae

    @property
    def frame(self) -> pd.DataFrame:
        """One row every few steps: step, tokens, loss, fvu, l0, dead, lr, tokens_per_second, seconds."""
        return self._run.history

    def pause(self) -> None:
        """Hold the training after the current step."""
        self._run.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._run.resume()

    def stop(self) -> None:
        """End the training and keep what was learnt."""
        self._run.stop()

    def close(self) -> None:
        """Stop watching; the training goes on."""
        unsubscribe, self._unsubscribe = getattr(self, "_unsubscribe", None), None
        if unsubscribe is not None:
            unsubscribe()
        super().close()

    def __repr__(self) -> str:
        run = self._run
        return f"<{type(self).__name__}: {run.state}, {len(run.history)} rows, {plain(run.title)}>"

    # Messages ------------------------------------------------------------------------------------------------

    def _heard(self) -> None:
        """Called on the run's thread."""
        self._pulse.poke()

    def _beat(self) -> None:
        with self._turn, self._shows_errors():
            history = self._run.history
            if len(history) != self._rows:
                # A shorter history is another one: from the start, then.
                start = self._rows if len(history) > self._rows else 0
                self._rows = len(history)
                self._send_blob("rows", None, pack({"start": start}, history_arrays(history.iloc[start:])))
            status = status_of(self._run)
            if status != self._status:
                self._status = status

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        with self._shows_errors():
            match message.get("type"):
                case "ready":
                    with self._turn:
                        self._send_blob("acts", message.get("view"), self._page_blob())
                case "pause":
                    self._run.pause()
                case "resume":
                    self._run.resume()
                case "stop":
                    self._run.stop()

    def _send_blob(self, kind: str, view: str | None, blob: bytes) -> None:
        """Send a packed blob in pieces, to one view or to all."""
        with self._turn:
            self._serial += 1
            for message, buffers in messages(kind, view, self._serial, blob):
                self.send(message, buffers=buffers)

    def _shows_errors(self) -> ShownErrors:
        return ShownErrors(lambda text: self.send({"type": "failed", "message": text}))

    def _extra(self) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
        """What a new view needs beside the history."""
        return {}, {}

    # Other forms ---------------------------------------------------------------------------------------------

    def _page_state(self) -> dict[str, Any]:
        return {**super()._page_state(), "_status": status_of(self._run), "_live": False}

    def _page_blob(self) -> bytes:
        meta, arrays = self._extra()
        return pack({"start": 0, **meta}, {**history_arrays(self._run.history), **arrays})

    def _provenance(self) -> Provenance:
        return Provenance(sae=plain(self._run.title))

    def _fallback_html(self) -> str:
        status, history = status_of(self._run), self._run.history
        last = history.tail(1).to_dict("records")
        cells = (
            "".join(f"<td>{escape(str(name))}<br><b>{value:,.4g}</b></td>" for name, value in last[0].items())
            if last
            else ""
        )
        return (
            f"<p><b>{escape(status['title'])}</b>: {escape(status['state'])} when this was shown. "
            f"{escape(status['error'])}</p><table><tr>{cells}</tr></table>"
        )


def answer_in_subshells(comm: Any) -> None:
    """Let a kernel hear a view's messages while a cell waits for the run.

    JupyterLab sends them to a subshell; ipykernel from 7.4 on takes them back to the main shell, behind that cell.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


class ShownErrors:
    """Passes an exception to ``show`` as text and goes on: a broken picture must not end a training."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        self._show(plain(f"{type(error).__name__}: {error}".removesuffix(": ")))
        return True
