"""What the panel has to show, and how its views hear of it."""

from __future__ import annotations

import threading
from typing import Any

from saewidgets.records import Steered, Sweep
from saewidgets.widgets.shared.buffers import messages
from saewidgets.widgets.steering import wire
from saewidgets.widgets.steering.runs import Request, Runs
from saewidgets.widgets.steering.traits import SteeringTraits


class Telling(SteeringTraits):
    """The texts and sweeps there are, and their state; as `runs.Listener`, on any thread, it tells every view.

    A subclass sets ``_runs`` before the traits.
    """

    _runs: Runs

    def __init__(self, **traits: Any) -> None:
        self._turn = threading.RLock()
        self._serial = 0
        self._request: Request | None = None
        self._results: tuple[Steered, Steered] | None = None
        self._sweeps: dict[int, tuple[Sweep, Request]] = {}
        super().__init__(**traits)

    def _began(self, request: Request) -> None:
        state = "writing" if request.feature is None else "sweeping"
        if request.feature is None:
            self._request, self._results = request, None
            self._send_blob("written", None, wire.pack_written(self._written() or {}, None))
        self._say(state, request)

    def _beat(self) -> None:
        starts, pieces = self._runs.unsent()
        if any(pieces.values()) and self._request is not None:
            pieces = {row: wire.sendable(piece) for row, piece in pieces.items()}
            self.send({"type": "text", "run": self._request.number, "starts": starts, "pieces": pieces})
        if self._status["state"] == "sweeping":
            self._status = {**self._status, "progress": round(self._runs.progress, 3)}

    def _ended(self, request: Request, result: tuple[Steered, Steered] | Sweep | None) -> None:
        if isinstance(result, Sweep):
            self._sweeps[result.feature] = (result, request)
            self._send_blob("swept", None, wire.pack_sweep(result, request))
        elif request.feature is None:
            self._results = result
            self._send_blob("written", None, wire.pack_written(self._written() or {}, result))
        self._say("stopped" if request.halt.is_set() else "idle", request)

    def _broke(self, request: Request, error: Exception) -> None:
        self._say("failed", request, wire.said(error))

    def _say(self, state: str, request: Request, error: str = "") -> None:
        said = wire.sendable(error)
        self._status = {
            "state": state,
            "run": request.number,
            "progress": 0.0,
            "error": said,
            "feature": request.feature,
        }

    def _complain(self, text: str) -> None:
        self._status = {**self._status, "error": text}

    def _written(self) -> dict[str, Any] | None:
        if self._request is None:
            return None
        texts = {row: wire.sendable(text) for row, text in self._runs.texts().items()}
        last = {str(item.feature): item.strength for item in self._runs.last}
        return {**self._request.said(), "texts": texts, "changed": self._runs.changed, "last": last}

    def _page_blob(self) -> bytes:
        return wire.pack_all(self._written(), self._results, list(self._sweeps.values()))

    def _send_blob(self, kind: str, view: str | None, blob: bytes) -> None:
        """Send a packed blob in pieces, to one view or to all."""
        with self._turn:
            self._serial += 1
            for message, buffers in messages(kind, view, self._serial, blob):
                self.send(message, buffers=buffers)
