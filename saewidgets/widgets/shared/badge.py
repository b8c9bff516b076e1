"""The trust badge as plain data: what every view shows about whether its SAE fits its model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from saewidgets.records import TrustReport

STATUSES = ("unchecked", "pending", "green", "amber", "red")
UNCHECKED: dict[str, Any] = {
    "status": "unchecked",
    "summary": "Whether this SAE fits this model was not checked.",
    "findings": [],
}


def badge_of(report: TrustReport | None) -> dict[str, Any]:
    """The badge of a report; None is a check that still runs."""
    if report is None:
        return {"status": "pending", "summary": "Checking whether this SAE fits this model …", "findings": []}
    findings = [
        {
            "name": finding.name,
            "value": float(finding.value) if math.isfinite(finding.value) else None,
            "status": finding.status,
            "expected": finding.expected,
            "cause": finding.cause,
        }
        for finding in report.findings
    ]
    return {"status": report.status, "summary": report.summary, "findings": findings, "n_tokens": report.n_tokens}


def as_badge(given: Any) -> dict[str, Any]:
    """Read a badge from a report, a dict of `badge_of`, or None (nobody has checked).

    Raises:
        ValueError: when ``given`` is a dict without a known status.
        TypeError: when ``given`` is something else.
    """
    if given is None:
        return dict(UNCHECKED)
    if isinstance(given, TrustReport):
        return badge_of(given)
    if not isinstance(given, Mapping):
        raise TypeError(f"badge must be a TrustReport, a dict made by badge_of, or None, got {type(given).__name__}")
    if not given:
        return dict(UNCHECKED)
    if given.get("status") not in STATUSES:
        raise ValueError(f"badge status must be one of {', '.join(STATUSES)}, got {given.get('status')!r}")
    return {"summary": "", "findings": [], **given}
