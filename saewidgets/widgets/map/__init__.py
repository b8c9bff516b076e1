"""The map of feature space."""

from saewidgets.widgets.map.map import FeatureMap

__all__ = ["FeatureMap"]
