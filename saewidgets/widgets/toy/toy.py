"""ToyPanel: planted directions, and a dictionary that finds them again while one watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from saewidgets.records import RECOVERED, ToyState
from saewidgets.widgets.shared.buffers import pack
from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm
from saewidgets.widgets.shared.run import base
from saewidgets.widgets.shared.run.protocol import OVER, TrainingRun
from saewidgets.widgets.toy.snapshots import Recorder, Snapshot, frame_arrays, scene

GAP = 1 / 8
SCRIPTS = (
    *base.SCRIPTS,
    *("toy/frames.js", "toy/order.js", "toy/words.js", "toy/disc.js", "toy/bars.js", "toy/figure.js"),
    *("toy/replay.js", "toy/toy.js"),
)
STYLES = (*base.STYLES, "toy/toy.css")


class ToyPanel(base.RunWidget):
    """A sparse dictionary trained on data whose true directions are known: what it has found of them, live.

    Example:
        >>> panel = ToyPanel(run, view)                         # doctest: +SKIP
        >>> panel.frame.query("not recovered")                  # doctest: +SKIP

    Args:
        run: a training that goes on in its own thread.
        view: what has been learnt at this moment; called on the run's thread, at most eight times a second.
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)

    def __init__(self, run: TrainingRun, view: Callable[[], ToyState]) -> None:
        self._view = view
        self._state: ToyState | None = None
        self._scene: tuple[dict[str, Any], dict[str, np.ndarray]] = ({}, {})
        self._recorder = Recorder(run.total_tokens)
        self._newest: Snapshot | None = None
        self._looked, self._ended = -GAP, False
        super().__init__(run)
        # While it runs, only its own thread may look.
        if run.state != "running":
            self._look()

    @property
    def state(self) -> ToyState:
        """The planted directions and what was learnt of them when last looked at."""
        return self._state if self._state is not None else self._view()

    @property
    def frame(self) -> pd.DataFrame:
        """One row a planted direction: feature, frequency, best_sae_feature, cosine, recovered."""
        return self.state.frame

    def _heard(self) -> None:
        super()._heard()
        due = time.monotonic() - self._looked >= GAP
        if not self._ended and (due or self._run.state in ("paused", *OVER)):
            self._look()

    def _look(self) -> None:
        with self._turn, self._shows_errors():
            self._looked = time.monotonic()
            self._ended = self._run.state in OVER
            history = self._run.history
            tokens = int(history["tokens"].iloc[-1]) if len(history) else 0
            first, self._state = self._state is None, self._view()
            snapshot = self._newest = self._recorder.add(self._state, tokens, last=self._ended)
            if first:
                self._scene = scene(self._state)
            meta, arrays = self._scene if first else ({}, {})
            kept = [s.number for s in self._recorder.kept[-1:]] == [snapshot.number]
            blob = pack({**meta, "kept": int(kept)}, {**arrays, **frame_arrays([snapshot])})
            self._send_blob("frames", None, blob)

    def _extra(self) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
        if self._newest is None:
            return {}, {}
        kept = self._recorder.kept
        frames = kept if kept[-1].number == self._newest.number else [*kept, self._newest]
        meta, arrays = self._scene
        return {**meta, "kept": len(kept)}, {**arrays, **frame_arrays(frames)}

    def _page_title(self) -> str:
        n, d_in = self.state.true_directions.shape
        return f"{n} directions planted in {d_in} dimensions"

    def _fallback_html(self) -> str:
        matched = self.state.matched
        found = int((matched >= RECOVERED).sum())
        return f"<p><b>{found} of {len(matched)} planted directions recovered</b></p>{super()._fallback_html()}"
