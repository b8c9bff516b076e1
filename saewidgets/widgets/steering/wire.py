"""What the panel shows as the browser receives it (read by recorded.js)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saewidgets.records import Steered, Sweep, SweepRow
from saewidgets.widgets.shared.buffers import pack
from saewidgets.widgets.steering.runs import Request

NUMBERS = ("readback", "kl", "perplexity", "repetition", "delta_logprob")
LONGEST = 500
TYPES = {"modified": "u1", "skipped": "u1", "requested": "<f4", "readback": "<f4"}


class Tables:
    """Collects the per-token numbers of many texts in four long arrays; a text knows where its part begins."""

    def __init__(self) -> None:
        self._tokens, self._cells = 0, 0
        self._parts: dict[str, list[np.ndarray]] = {
            name: [] for name in ("modified", "skipped", "requested", "readback")
        }

    def add(self, steered: Steered) -> dict[str, Any]:
        """The text without its numbers, which are kept here."""
        at, cell = self._tokens, self._cells
        self._tokens, self._cells = at + len(steered), cell + steered.readback.size
        self._parts["modified"].append(steered.modified.astype("u1"))
        self._parts["skipped"].append(steered.skipped.astype("u1"))
        self._parts["requested"].append(steered.requested.astype("<f4").reshape(-1))
        self._parts["readback"].append(steered.readback.astype("<f4").reshape(-1))
        return {
            "text": steered.text,
            "tokens": list(steered.str_tokens),
            "n_prompt": steered.n_prompt,
            "features": list(steered.features),
            "split": {str(i): list(part) for i, part in steered.split.items()},
            "at": at,
            "cell": cell,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The four arrays, by name."""
        return {name: np.concatenate([np.zeros(0, TYPES[name]), *parts]) for name, parts in self._parts.items()}


def pack_written(written: Mapping[str, Any], results: tuple[Steered, Steered] | None) -> bytes:
    """One run: what was asked, the texts so far, and the tokens once it is over."""
    tables = Tables()
    meta = written_meta(written, results, tables)
    return pack({"written": meta}, tables.arrays())


def pack_all(
    written: Mapping[str, Any] | None,
    results: tuple[Steered, Steered] | None,
    sweeps: Sequence[tuple[Sweep, Request]],
) -> bytes:
    """Everything a new view needs."""
    tables = Tables()
    meta = None if written is None else written_meta(written, results, tables)
    return pack({"written": meta, "sweeps": [sweep_meta(*sweep, tables) for sweep in sweeps]}, tables.arrays())


def pack_sweep(sweep: Sweep, request: Request) -> bytes:
    """One sweep."""
    tables = Tables()
    return pack({"sweeps": [sweep_meta(sweep, request, tables)]}, tables.arrays())


def written_meta(written: Mapping[str, Any], results: tuple[Steered, Steered] | None, tables: Tables) -> dict[str, Any]:
    """A run without its numbers."""
    rows = None if results is None else {"bare": tables.add(results[0]), "steered": tables.add(results[1])}
    return {**written, "rows": rows}


def sweep_meta(sweep: Sweep, request: Request, tables: Tables) -> dict[str, Any]:
    """A sweep without its numbers a token."""
    return {
        "prompt": request.prompt,
        "turns": request.turns,
        "feature": sweep.feature,
        "label": sweep.label,
        "kind": sweep.intervention,
        "settings": dict(request.settings),
        "sweet_spot": sweep.sweet_spot,
        "promoted": list(sweep.promoted),
        "control_feature": sweep.control_feature,
        "rows": [row_meta(row, tables) for row in sweep.rows],
    }


def row_meta(row: SweepRow, tables: Tables) -> dict[str, Any]:
    """A row of a sweep; numbers JSON cannot say are None."""
    numbers = {name: finite(getattr(row, name)) for name in NUMBERS}
    head = {"kind": row.kind, "strength": row.strength, "first_divergence": row.first_divergence}
    return {**head, **numbers, **tables.add(row.steered)}


def finite(value: float) -> float | None:
    """``value``, or None where it is no number."""
    return float(value) if math.isfinite(value) else None


def said(error: BaseException) -> str:
    """The first line of an exception, or its name, as every transport carries it."""
    return sendable(str(error).strip().split("\n")[0][:LONGEST] or type(error).__name__)


def sendable(text: str) -> str:
    """``text`` with lone surrogates replaced, which no transport carries."""
    return text.encode("utf-8", "replace").decode("utf-8")
