"""The badge says what the report says."""

from __future__ import annotations

import json

import pytest
import traitlets
from synthetic import make_acts, report

from saewidgets.records import Finding, TrustReport
from saewidgets.widgets import TokenHeatmap, badge_of


@pytest.mark.parametrize("status", ["green", "amber", "red"])
def test_status_and_findings_of_a_report(status):
    badge = badge_of(report(status))
    assert badge["status"] == status
    assert badge["summary"] == report(status).summary
    assert [finding["name"] for finding in badge["findings"]] == [f.name for f in report(status).findings]
    assert badge["findings"][0]["cause"] == report(status).findings[0].cause


def test_no_report_is_a_check_that_runs():
    assert badge_of(None)["status"] == "pending"


def test_numbers_that_are_none_stay_sendable():
    broken = TrustReport((Finding("Variance explained", float("nan"), "red", "0.7"),), 10)
    assert json.dumps(badge_of(broken), allow_nan=False)
    assert badge_of(broken)["findings"][0]["value"] is None


def test_a_view_nobody_checked_says_so():
    assert TokenHeatmap(make_acts()).badge["status"] == "unchecked"


def test_a_badge_may_come_later_as_a_report():
    heatmap = TokenHeatmap(make_acts(), badge=badge_of(None))
    assert heatmap.badge["status"] == "pending"
    heatmap.badge = report("amber")
    assert heatmap.badge == badge_of(report("amber"))


@pytest.mark.parametrize("given", [{"status": "blue"}, "green", 3])
def test_anything_else_is_refused(given):
    with pytest.raises(traitlets.TraitError, match="badge"):
        TokenHeatmap(make_acts()).badge = given
