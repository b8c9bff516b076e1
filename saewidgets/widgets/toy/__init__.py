"""The toy's panel."""

from saewidgets.widgets.toy.toy import ToyPanel

__all__ = ["ToyPanel"]
