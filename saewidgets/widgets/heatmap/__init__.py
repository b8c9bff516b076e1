"""The token heatmap."""

from saewidgets.widgets.heatmap.heatmap import TokenHeatmap

__all__ = ["TokenHeatmap"]
