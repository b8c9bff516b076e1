"""Frozen results and requests that cross rooms: plain numpy and pandas, no torch, no widgets."""

from saewidgets.records.evaluation import Evaluation, ce_recovered
from saewidgets.records.interventions import Intervention, Kind, Where, ablate, add, as_interventions, at_least, clamp
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
    "Kind",
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
    "Where",
    "ablate",
    "add",
    "as_interventions",
    "at_least",
    "ce_recovered",
    "clamp",
]
