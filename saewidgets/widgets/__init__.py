"""Pictures: one room a widget; computes nothing about a model and imports no torch."""

from saewidgets.widgets.heatmap import TokenHeatmap
from saewidgets.widgets.map import FeatureMap
from saewidgets.widgets.shared.badge import badge_of
from saewidgets.widgets.toy import ToyPanel
from saewidgets.widgets.training import TrainingMonitor
from saewidgets.widgets.trust import TrustPanel

__all__ = ["FeatureMap", "TokenHeatmap", "ToyPanel", "TrainingMonitor", "TrustPanel", "badge_of"]
