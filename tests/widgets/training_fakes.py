"""A run that replays recorded-looking numbers from a thread: for tests of the widgets only, it trains nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

TITLE = "d_sae 4 096 · TopK 32 · blocks.15.hook_resid_post"
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\u202e\ud83d"


def numbers(rows: int, *, total: int = 2_000_000, d_sae: int = 4096, k: int = 32, seed: int = 0) -> pd.DataFrame:
    """A history as a healthy training leaves it: a spike at first, then slow progress with noise."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, rows + 1) / rows
    fvu = 0.16 + 0.75 * np.exp(-9 * share) + 0.012 * rng.standard_normal(rows) * (0.3 + np.exp(-3 * share))
    speed = 4800 + 250 * rng.standard_normal(rows)
    tokens = np.round(share * total).astype(np.int64)
    return pd.DataFrame(
        {
            "step": np.arange(1, rows + 1) * 10,
            "tokens": tokens,
            "loss": fvu * 1.9 + 8 * np.exp(-120 * share) + 0.02 * rng.standard_normal(rows) ** 2,
            "fvu": fvu,
            "l0": float(k) + np.zeros(rows),
            "dead": np.round(d_sae * (0.004 + 0.11 * share * np.exp(-7 * share) * 4)).astype(int),
            "lr": 3e-4 * np.minimum(1, np.minimum(share / 0.05, (1 - share) / 0.2 + 1e-3)),
            "tokens_per_second": speed,
            "seconds": np.cumsum(np.diff(tokens, prepend=0) / speed),
        }
    )


class FakeRun:
    """A run whose rows come by `advance`, or from a thread with `start`."""

    def __init__(self, rows: int = 200, *, shown: int = 0, state: str = "waiting", title: str = TITLE, **options: Any):
        self.all = numbers(rows, **options)
        self.shown, self.state, self.title, self.error, self.detail = shown, state, title, "", ""
        self.total_tokens, self.d_sae, self.k = options.get("total", 2_000_000), options.get("d_sae", 4096), 32
        self.calls: list[str] = []
        self.listeners: list[Callable[[], None]] = []
        self._go, self._end = threading.Event(), threading.Event()
        self._go.set()

    @property
    def history(self) -> pd.DataFrame:
        return self.all.iloc[: self.shown]

    @property
    def sae(self) -> Any:
        raise AssertionError("a widget never touches the result: it would wait for the end")

    def subscribe(self, fn: Callable[[], None], /) -> Callable[[], None]:
        self.listeners.append(fn)
        return lambda: self.listeners.remove(fn)

    def tell(self, state: str | None = None, detail: str | None = None, error: str | None = None) -> None:
        """Change what the run says of itself."""
        self.state = self.state if state is None else state
        self.detail = self.detail if detail is None else detail
        self.error = self.error if error is None else error
        for fn in list(self.listeners):
            fn()

    def advance(self, rows: int = 1) -> None:
        self.shown = min(len(self.all), self.shown + rows)
        self.tell()

    def start(self, seconds_a_row: float = 0.02) -> FakeRun:
        """Bring a row every so often until all are shown."""
        threading.Thread(target=self._play, args=(seconds_a_row,), daemon=True).start()
        return self

    def _play(self, pace: float) -> None:
        self.tell("running")
        while self.shown < len(self.all) and not self._end.is_set():
            if not self._go.is_set():
                self.tell("paused")
                self._go.wait()
                self.tell("running")
                continue
            time.sleep(pace)
            self.advance()
        self.tell("stopped" if self._end.is_set() else "finished")

    def pause(self) -> None:
        self.calls.append("pause")
        self._go.clear()

    def resume(self) -> None:
        self.calls.append("resume")
        self._go.set()

    def stop(self) -> None:
        self.calls.append("stop")
        self._end.set()
        self._go.set()
