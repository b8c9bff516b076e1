"""Frozen results and requests that cross rooms: plain numpy and pandas, no torch, no widgets."""

from saewidgets.records.evaluation import Evaluation, ce_recovered
from saewidgets.records.interventions import Intervention, as_interventions, clamp
from saewidgets.records.provenance import Provenance
from saewidgets.records.steering import RowKind, Steered, Sweep, SweepRow
from saewidgets.records.tokens import Scale, TokenActs
from saewidgets.records.toy import RECOVERED, ToyState
from saewidgets.records.trust import Finding, Status, TrustReport

__all__ = [
    "RECOVERED",
    "Evaluation",
    "Finding",
    "Intervention",
    "Provenance",
    "RowKind",
    "Scale",
    "Status",
    "Steered",
    "Sweep",
    "SweepRow",
    "TokenActs",
    "ToyState",
    "TrustReport",
    "as_interventions",
    "ce_recovered",
    "clamp",
]
