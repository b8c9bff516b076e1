"""The map as a plotly figure, for papers and pages that are plotly's already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from saewidgets.records import FeatureSpace, Neighbors
from saewidgets.widgets.map.wire import Lit

if TYPE_CHECKING:
    import plotly.graph_objects as go

HUES = ("#0072b2", "#d55e00", "#009e73", "#cc6fa4", "#7a5cc2", "#b8860b", "#2aa3c9", "#a23b52", "#5b8c2a", "#4f6d9c")
NONE = "#b0b8c3"
SCALES = {"density": "Blues", "label_score": "Purples", "trust": "RdYlBu", "activation": "Oranges"}


def figure_of(space: FeatureSpace, color_by: str, lit: Lit | None, near: Neighbors | None) -> go.Figure:
    """Points coloured as the widget colours them, and lines from a feature to its neighbours.

    Args:
        space: where every feature lies.
        color_by: what the colours show; falls back to cluster where it is not known.
        lit: activations on a sentence.
        near: a feature's neighbours to draw, or None.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    if near is not None:
        figure.add_trace(go.Scattergl(mode="lines", line={"color": "#1f5fc4", "width": 1.5}, **lines_of(space, near)))
    hover = [f"{space.labels[i]} ({i})" if space.labels and space.labels[i] else str(i) for i in range(len(space))]
    marker = {"size": 4, **marker_of(space, color_by, lit)}
    points = {"x": space.xy[:, 0], "y": space.xy[:, 1], "text": hover, "hoverinfo": "text", "marker": marker}
    figure.add_trace(go.Scattergl(mode="markers", **points))
    figure.update_layout(template="plotly_white", showlegend=False, title=f"Map of {len(space):,} features")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def marker_of(space: FeatureSpace, color_by: str, lit: Lit | None) -> dict[str, Any]:
    """Colour of every point, as plotly wants it."""
    values = values_of(space, color_by, lit)
    if values is None:
        return {"color": [HUES[number % len(HUES)] if number >= 0 else NONE for number in space.cluster.tolist()]}
    title = color_by.replace("_", " ")
    if color_by == "density":
        values, title = np.log10(np.where(values > 0, values, np.nan)), "log10 density"
    return {"color": values, "colorscale": SCALES[color_by], "showscale": True, "colorbar": {"title": title}}


def values_of(space: FeatureSpace, color_by: str, lit: Lit | None) -> np.ndarray | None:
    """What the colours show, float ``[n]``; None for clusters."""
    if color_by == "activation" and lit is not None:
        values = np.zeros(len(space), np.float32)
        values[lit.features] = lit.values
        return values
    return {"density": space.density, "label_score": space.label_scores, "trust": space.trust}.get(color_by)


def lines_of(space: FeatureSpace, near: Neighbors) -> dict[str, Any]:
    """One broken line through the feature and each neighbour in turn."""
    own, others = space.xy[near.feature], space.xy[np.asarray(near.features, dtype=np.int64)]
    path = np.full((len(others), 3, 2), np.nan, np.float32)
    path[:, 0], path[:, 1] = own, others
    return {"x": path[:, :, 0].ravel(), "y": path[:, :, 1].ravel(), "hoverinfo": "skip"}
