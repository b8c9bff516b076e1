"""Frozen results and requests that cross rooms: plain numpy and pandas, no torch, no widgets."""

from saewidgets.records.cards import (
    INTERVALS,
    Example,
    FeatureCardData,
    FeatureList,
    FeatureStats,
    Neuron,
    Related,
    TokenShare,
    TokenWeight,
)
from saewidgets.records.evaluation import Evaluation, ce_recovered
from saewidgets.records.interventions import Intervention, Kind, Where, ablate, add, as_interventions, at_least, clamp
from saewidgets.records.provenance import Provenance
from saewidgets.records.space import DISTANCES, FeatureSpace, Neighbors, NeighborTable
from saewidgets.records.steering import RowKind, Steered, Sweep, SweepRow
from saewidgets.records.tokens import Scale, TokenActs
from saewidgets.records.toy import RECOVERED, ToyState
from saewidgets.records.trust import Finding, Status, TrustReport

__all__ = [
    "DISTANCES",
    "INTERVALS",
    "RECOVERED",
    "Evaluation",
    "Example",
    "FeatureCardData",
    "FeatureList",
    "FeatureSpace",
    "FeatureStats",
    "Finding",
    "Intervention",
    "Kind",
    "NeighborTable",
    "Neighbors",
    "Neuron",
    "Provenance",
    "Related",
    "RowKind",
    "Scale",
    "Status",
    "Steered",
    "Sweep",
    "SweepRow",
    "TokenActs",
    "TokenShare",
    "TokenWeight",
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
