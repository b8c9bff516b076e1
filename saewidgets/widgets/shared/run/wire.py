"""A run's status and history as the browser receives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from saewidgets.widgets.shared.run.protocol import TrainingRun

COLUMNS = ("loss", "fvu", "l0", "dead", "lr", "tokens_per_second", "seconds")
LONGEST = 2_000


def status_of(run: TrainingRun) -> dict[str, Any]:
    """Everything about a run that is not a row of its history."""
    return {
        **{name: plain(getattr(run, name)) for name in ("title", "state", "error", "detail")},
        **{name: int(getattr(run, name)) for name in ("total_tokens", "d_sae", "k")},
    }


def plain(text: str) -> str:
    """``text`` at a length and in characters every transport carries."""
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return shown.encode("utf-8", "replace").decode("utf-8")


def history_arrays(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Columns as arrays; a count of tokens may need more than four bytes and comes as its low and high word."""
    tokens = np.ascontiguousarray(rows["tokens"].to_numpy(dtype="<u8")).view("<u4")
    numbers = {name: rows[name].to_numpy(dtype="<f4") for name in COLUMNS}
    return {"step": rows["step"].to_numpy(dtype="<u4"), "tokens": tokens, **numbers}
