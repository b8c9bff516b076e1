"""The steering panel."""

from saewidgets.widgets.steering.steering import SteeringPanel

__all__ = ["SteeringPanel"]
