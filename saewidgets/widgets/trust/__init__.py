"""The trust panel."""

from saewidgets.widgets.trust.trust import TrustPanel

__all__ = ["TrustPanel"]
