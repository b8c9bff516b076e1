"""TrustPanel: whether an SAE fits the model it is used on."""

from __future__ import annotations

from html import escape

import pandas as pd
import traitlets as t

from saewidgets.records import Provenance, TrustReport
from saewidgets.widgets.shared.badge import badge_of
from saewidgets.widgets.shared.base import Widget
from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm

SCRIPTS = (*("shared/dom.js", "shared/icons.js", "shared/floating.js", "shared/badge.js"), "trust/trust.js")
STYLES = ("shared/theme.css", "shared/badge.css", "trust/trust.css")


class TrustPanel(Widget):
    """The verdict on an SAE and its model, finding by finding.

    Args:
        report: what was measured.
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)
    _page_traits = ("_source",)

    _source = t.Unicode("").tag(sync=True)

    def __init__(self, report: TrustReport) -> None:
        self._report = report
        super().__init__(badge=badge_of(report), _source=str(report.provenance))

    @property
    def report(self) -> TrustReport:
        """What was measured."""
        return self._report

    @property
    def frame(self) -> pd.DataFrame:
        """One row a finding: name, value, status, expected, cause."""
        return self._report.frame

    def __repr__(self) -> str:
        return f"<TrustPanel: {self._report.status}, {len(self._report.findings)} findings>"

    def _page_title(self) -> str:
        return self._report.summary

    def _provenance(self) -> Provenance:
        return self._report.provenance

    def _fallback_html(self) -> str:
        findings = self._report.findings
        rows = [row_html(f.status, f.name, f"{f.value:.3g}", f.expected, f.cause) for f in findings]
        table = row_html("", "measured", "value", "expected", "cause") + "".join(rows)
        return f"<p><b>{escape(self._report.summary)}</b></p><table>{table}</table><p>{escape(self._source)}</p>"


def row_html(*cells: str) -> str:
    """One row of the fallback's table."""
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
