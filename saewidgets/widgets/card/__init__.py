"""The feature card."""

from saewidgets.widgets.card.card import FeatureCard

__all__ = ["FeatureCard"]
