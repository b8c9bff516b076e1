"""What the panel shows, as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from saewidgets.records import Steered, Sweep
from saewidgets.widgets.steering.runs import Request

COLUMNS = (
    *("source", "feature", "kind", "strength", "readback", "kl", "perplexity", "repetition", "first_divergence"),
    *("delta_logprob", "sweet_spot", "text"),
)


def shown_frame(
    request: Request | None, results: tuple[Steered, Steered] | None, sweeps: Sequence[tuple[Sweep, Request]]
) -> pd.DataFrame:
    """One row a text: those written last, a row a feature that was on, then those swept."""
    parts = [with_chat(sweep.frame.assign(source="swept", feature=sweep.feature), asked) for sweep, asked in sweeps]
    if request is not None and results is not None:
        parts = [with_chat(written_frame(request, results), request), *parts]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    columns = [*COLUMNS, *(["chat"] if any("chat" in part for part in parts) else [])]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def with_chat(frame: pd.DataFrame, request: Request) -> pd.DataFrame:
    """``frame`` with the chat that was continued in every row; as it is where that was plain text."""
    if request.turns is None:
        return frame
    return frame.assign(chat=pd.Series([request.whole] * len(frame), frame.index, dtype=object))


def written_frame(request: Request, results: tuple[Steered, Steered]) -> pd.DataFrame:
    """The two texts; the steered one once for every feature that was on."""
    bare, steered = results
    rows = [{"kind": "bare", "feature": -1, "strength": np.nan, "readback": np.nan, "text": bare.text}]
    for i, feature in enumerate(steered.features):
        strength = request.strengths.get(feature, np.nan)
        generated = steered.readback[steered.n_prompt :, i]
        readback = float(np.nanmean(generated)) if np.isfinite(generated).any() else np.nan
        head = {"kind": "steered", "feature": feature, "strength": strength}
        rows.append({**head, "readback": readback, "text": steered.text})
    frame = pd.DataFrame(rows).assign(source="written", sweet_spot=False)
    return frame.assign(first_divergence=pd.array([pd.NA] * len(rows), dtype="Int64"))
