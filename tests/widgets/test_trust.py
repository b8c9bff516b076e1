"""TrustPanel without a browser."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from synthetic import report

from saewidgets.records import Finding, TrustReport
from saewidgets.widgets import TrustPanel


@pytest.mark.parametrize("status", ["green", "amber", "red"])
def test_it_shows_its_report(status):
    panel = TrustPanel(report(status))
    assert panel.badge["status"] == status
    assert panel.badge["n_tokens"] == 1024
    pd.testing.assert_frame_equal(panel.frame, report(status).frame)
    assert repr(panel) == f"<TrustPanel: {status}, 5 findings>"
    assert len(json.dumps(panel.get_state())) < 60_000


def test_its_fallback_is_inert():
    hostile = TrustReport((Finding("<script>", float("nan"), "red", "<b>", "</td><img src=x>"),), 1)
    data, _ = TrustPanel(hostile)._repr_mimebundle_()
    assert "<script" not in data["text/html"]
    assert "<img" not in data["text/html"]
    assert "&lt;script&gt;" in data["text/html"]
