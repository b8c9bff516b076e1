"""Live, linked, offline views into a language model through a sparse autoencoder.

Example:
    >>> import saewidgets as sw
    >>> sw.demo().heatmap("The Golden Gate Bridge")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saewidgets.demos import demo
    from saewidgets.learn import sample_texts, toy, train
    from saewidgets.records import FeatureSpace, Intervention, TokenActs, TrustReport, clamp
    from saewidgets.sae.activations import JumpReLU, ReLU, TopK
    from saewidgets.sae.autoencoder import SparseAutoencoder
    from saewidgets.sae.formats import load_sae
    from saewidgets.session import Session, load
    from saewidgets.widgets.heatmap import TokenHeatmap
    from saewidgets.widgets.map import FeatureMap
    from saewidgets.widgets.toy import ToyPanel
    from saewidgets.widgets.training import TrainingMonitor
    from saewidgets.widgets.trust import TrustPanel

__version__ = "0.1.0"

_HOMES = {
    "demo": "demos",
    "load": "session",
    "load_sae": "sae.formats",
    "Session": "session",
    "SparseAutoencoder": "sae.autoencoder",
    "TopK": "sae.activations",
    "ReLU": "sae.activations",
    "JumpReLU": "sae.activations",
    "clamp": "records",
    "Intervention": "records",
    "TokenActs": "records",
    "TrustReport": "records",
    "FeatureMap": "widgets.map",
    "FeatureSpace": "records",
    "TokenHeatmap": "widgets.heatmap",
    "ToyPanel": "widgets.toy",
    "TrainingMonitor": "widgets.training",
    "TrustPanel": "widgets.trust",
    "sample_texts": "learn",
    "toy": "learn",
    "train": "learn",
}
__all__ = [
    "FeatureMap",
    "FeatureSpace",
    "Intervention",
    "JumpReLU",
    "ReLU",
    "Session",
    "SparseAutoencoder",
    "TokenActs",
    "TokenHeatmap",
    "TopK",
    "ToyPanel",
    "TrainingMonitor",
    "TrustPanel",
    "TrustReport",
    "clamp",
    "demo",
    "load",
    "load_sae",
    "sample_texts",
    "toy",
    "train",
]


def __getattr__(name: str) -> Any:
    # Names are fetched on first use (PEP 562), so that importing the package costs no torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'saewidgets' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"saewidgets.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
