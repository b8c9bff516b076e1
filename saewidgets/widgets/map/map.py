"""FeatureMap: every feature of a sparse autoencoder on one map, with its true neighbours."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import traitlets as t

from saewidgets.records import FeatureSpace, Neighbors, Provenance, TrustReport
from saewidgets.widgets.map import wire
from saewidgets.widgets.map.fallback import fallback_html
from saewidgets.widgets.shared.base import Widget
from saewidgets.widgets.shared.buffers import chunks
from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm
from saewidgets.widgets.shared.latest import LatestRunner

if TYPE_CHECKING:
    import plotly.graph_objects as go

SCRIPTS = (
    *("shared/dom.js", "shared/icons.js", "shared/buffers.js", "shared/floating.js", "shared/badge.js"),
    *("map/icons.js", "map/space.js", "map/grid.js", "map/camera.js", "map/gl.js", "map/plain.js", "map/colors.js"),
    *("map/look.js", "map/names.js", "map/overlay.js", "map/near.js", "map/gestures.js", "map/keys.js"),
    *("map/search.js", "map/tools.js", "map/tooltip.js", "map/legend.js", "map/controls.js", "map/card.js"),
    *("map/side.js", "map/actions.js", "map/follow.js", "map/wire.js", "map/map.js"),
)
STYLES = ("shared/theme.css", "shared/badge.css", "map/map.css", "map/side.css")
COLORS = ("cluster", "density", "label_score", "trust", "activation")
MAX_K = 50

NeighborsOf = Callable[[int, int, str], "Neighbors | pd.DataFrame"]
Light = Callable[[str, threading.Event], Any]
Search = Callable[[str], Sequence[int]]


class FeatureMap(Widget):
    """Every feature as a point: pan, zoom, search, colour, and click for the true neighbours.

    Example:
        >>> map = FeatureMap(space)                             # doctest: +SKIP
        >>> map.feature = 8192                                  # doctest: +SKIP
        >>> map.frame                                           # doctest: +SKIP

    Args:
        space: where every feature lies, and who is near whom.
        neighbors: ``(feature, k, distance)`` → `Neighbors` or a DataFrame with columns feature and distance, blocking;
            it may know more than the tables of ``space``, which are shown without it.
        light: ``(text, stop)`` → ``(features, values)`` or ``{feature: value}`` of the features firing on a text,
            blocking; ``stop`` is set once a newer text has arrived. Without it no sentence can light up the map.
        search: ``query`` → feature numbers beyond those whose label, number, token or cluster matches.
        distances: names of the distances offered; by default those of the tables.
        badge: whether the SAE fits the model: a TrustReport, a dict of `badge_of`, or None for "not checked".
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)
    _page_traits = ("feature", "features", "color_by", "distance", "k", "text")

    feature = t.Any(default_value=None, allow_none=True).tag(sync=True)
    """The feature whose neighbourhood is shown, or None; two-way."""

    features = t.Any(default_value=()).tag(sync=True)
    """The selected features, a list of int; two-way."""

    color_by = t.Enum(COLORS, default_value="cluster").tag(sync=True)
    """What the colours show; what is not known is shown by cluster."""

    distance = t.Unicode("decoder").tag(sync=True)
    """The distance by which neighbours are found, a key of `DISTANCES`."""

    k = t.Int(10).tag(sync=True)
    """How many true neighbours are shown."""

    text = t.Unicode("").tag(sync=True)
    """The sentence that lights up the map; setting it computes, "" puts out the light."""

    def __init__(
        self,
        space: FeatureSpace,
        *,
        neighbors: NeighborsOf | None = None,
        light: Light | None = None,
        search: Search | None = None,
        distances: Sequence[str] | None = None,
        badge: TrustReport | Mapping[str, Any] | None = None,
    ) -> None:
        self.space = space
        self._neighbors, self._light, self._search = neighbors, light, search
        self._distances = tuple(distances or space.tables or ("decoder",))
        self._lit: wire.Lit | None = None
        self._asking = LatestRunner(self._find_neighbors, self._found_neighbors, self._failed_neighbors)
        self._lighting = LatestRunner(self._light_up, self._lit_up, self._failed)
        self._searching = LatestRunner(self._find, self._found, self._failed)
        super().__init__(badge=badge, distance=self._distances[0], k=min(10, self._max_k))
        self.on_msg(self._on_message)

    @property
    def frame(self) -> pd.DataFrame:
        """The selected features, or all where none is: feature, x, y, cluster, …, and activation when lit."""
        frame = self.space.frame
        if self._lit is not None:
            activation = np.zeros(len(self.space), np.float32)
            activation[self._lit.features] = self._lit.values
            frame["activation"] = activation
        return frame.iloc[list(self.features)].reset_index(drop=True) if self.features else frame

    @property
    def neighborhood(self) -> pd.DataFrame:
        """The chosen feature's k true neighbours: feature, distance, similarity, label, density, rank_*.

        Raises:
            ValueError: when no feature is chosen.
        """
        if self.feature is None:
            raise ValueError("no feature is chosen: click a point, or set .feature")
        return self._neighbors_of(self.feature, self.k, self.distance).frame.head(self.k)

    def to_plotly(self) -> go.Figure:
        """The map as a plotly figure, with the chosen feature's neighbours as lines.

        Raises:
            ImportError: when plotly is not installed.
        """
        from saewidgets.widgets.map.figure import figure_of

        near = self._neighbors_of(self.feature, self.k, self.distance) if self.feature is not None else None
        return figure_of(self.space, self.color_by, self._lit, near)

    def __repr__(self) -> str:
        chosen = "" if self.feature is None else f", feature {self.feature}"
        return f"<FeatureMap: {len(self.space)} features{chosen}>"

    # What may be set -----------------------------------------------------------------------------------------

    @t.validate("feature")
    def _validate_feature(self, proposal: Mapping[str, Any]) -> int | None:
        return None if proposal["value"] is None else self._checked(proposal["value"])

    @t.validate("features")
    def _validate_features(self, proposal: Mapping[str, Any]) -> list[int]:
        given = proposal["value"]
        if given is None or isinstance(given, (str, bytes)) or not np.iterable(given):
            raise t.TraitError(f"features must be a list of feature numbers, got {given!r}")
        return [self._checked(one) for one in given]

    @t.validate("distance")
    def _validate_distance(self, proposal: Mapping[str, Any]) -> str:
        if proposal["value"] not in self._distances:
            raise t.TraitError(f"distance must be one of {', '.join(self._distances)}, got {proposal['value']!r}")
        return proposal["value"]

    @t.validate("k")
    def _validate_k(self, proposal: Mapping[str, Any]) -> int:
        if not 1 <= proposal["value"] <= self._max_k:
            raise t.TraitError(f"k must be from 1 to {self._max_k}, got {proposal['value']}")
        return proposal["value"]

    @t.observe("text")
    def _text_set(self, change: Mapping[str, Any]) -> None:
        if self._lit is not None and change["new"] == self._lit.text:
            return
        if not change["new"].strip():
            self._lighting.cancel()
            return self._lit_up("", None)
        self._lighting.submit(change["new"])

    @t.validate("text")
    def _validate_text(self, proposal: Mapping[str, Any]) -> str:
        if proposal["value"].strip() and self._light is None:
            raise t.TraitError("no sentence can light up this map: it was made without light")
        return proposal["value"]

    def _checked(self, given: Any) -> int:
        try:
            feature = -1 if isinstance(given, (bool, np.bool_)) else operator.index(given)
        except TypeError:
            feature = -1
        if not 0 <= feature < len(self.space):
            raise t.TraitError(f"a feature must be a number from 0 to {len(self.space) - 1}, got {given!r}")
        return feature

    @property
    def _max_k(self) -> int:
        widths = [table.indices.shape[1] for table in self.space.tables.values()]
        most = max(widths, default=1) if self._neighbors is None else MAX_K
        return max(1, min(most, MAX_K, len(self.space) - 1))

    # Work off the main thread --------------------------------------------------------------------------------

    def _neighbors_of(self, feature: int, k: int, distance: str) -> Neighbors:
        """As many neighbours as the view needs to tell true from false."""
        wanted = max(k, wire.near_of(self.space))
        if self._neighbors is not None:
            return wire.as_neighbors(self._neighbors(feature, wanted, distance), feature, distance)
        table = self.space.tables.get(distance)
        return self.space.neighbors(feature, wanted if table is None else min(wanted, table.indices.shape[1]), distance)

    def _find_neighbors(self, asked: tuple[int, int, str], stop: threading.Event) -> bytes:
        feature, k, distance = asked
        found = self._neighbors_of(feature, k, distance)
        return wire.pack_neighbors(found, k, wire.planar_truth(self.space, feature, distance))

    def _found_neighbors(self, asked: tuple[int, int, str], blob: bytes) -> None:
        self._send_blob("neighbors", None, blob)

    def _light_up(self, text: str, stop: threading.Event) -> wire.Lit:
        if self._light is None:
            raise RuntimeError("this map was made without light")
        return wire.as_lit(text, self._light(text, stop), len(self.space))

    def _lit_up(self, text: str, lit: wire.Lit | None) -> None:
        self._lit = lit
        self.color_by = (
            "activation" if lit is not None else ("cluster" if self.color_by == "activation" else self.color_by)
        )
        self._send_blob("lit", None, wire.pack_lit(lit or wire.Lit("", np.zeros(0, np.int64), np.zeros(0, np.float32))))

    def _find(self, query: str, stop: threading.Event) -> bytes:
        found = [self._checked(one) for one in self._search(query)] if self._search else []
        return wire.pack({"query": query}, {"features": np.asarray(found, dtype="<u4")})

    def _found(self, query: str, blob: bytes) -> None:
        self._send_blob("found", None, blob)

    def _failed(self, asked: Any, error: Exception) -> None:
        self.send({"type": "failed", "message": first_line(error), "asked": None})

    def _failed_neighbors(self, asked: tuple[int, int, str], error: Exception) -> None:
        self.send({"type": "failed", "message": first_line(error), "asked": [asked[0], asked[2], asked[1]]})

    # Messages ------------------------------------------------------------------------------------------------

    @property
    def _abilities(self) -> wire.Abilities:
        return wire.Abilities(self._light is not None, self._search is not None, self._distances, self._max_k)

    @cached_property
    def _packed(self) -> bytes:
        return wire.pack_space(self.space, self._abilities)

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        match message.get("type"):
            case "ready":
                self._send_blob("acts", message.get("view"), self._packed)
                if self._lit is not None:
                    self._send_blob("lit", message.get("view"), wire.pack_lit(self._lit))
            case "neighbors" if message.get("distance") in self._distances:
                k = max(1, min(int(message["k"]), self._max_k))
                self._asking.submit((self._checked(message["feature"]), k, message["distance"]))
            case "search":
                self._searching.submit(str(message["query"]))

    def _send_blob(self, kind: str, view: str | None, blob: bytes) -> None:
        """Send a packed blob in pieces, to one view or to all."""
        parts = chunks(blob)
        for i, part in enumerate(parts):
            self.send({"type": kind, "to": view, "acts": 1, "part": i, "parts": len(parts)}, buffers=[part])

    # Other forms ---------------------------------------------------------------------------------------------

    def _page_state(self) -> dict[str, Any]:
        state = super()._page_state()
        kept = tuple(self.space.tables) or ("decoder",)
        if self.distance not in kept:
            state["distance"] = kept[0]
        return {**state, "k": min(self.k, wire.near_of(self.space))}

    def _page_blob(self) -> bytes:
        kept = tuple(self.space.tables) or ("decoder",)
        can = wire.Abilities(False, False, kept, wire.near_of(self.space))
        return wire.pack_space(self.space, can, tables=True, lit=self._lit)

    def _page_title(self) -> str:
        name = "" if self.feature is None else f" · feature {self.feature}"
        return f"Map of {len(self.space):,} features{name}"

    def _provenance(self) -> Provenance:
        return self.space.provenance

    def _fallback_html(self) -> str:
        return fallback_html(self.space)


def first_line(error: Exception) -> str:
    """What went wrong, in a line."""
    return str(error).strip().split("\n")[0] or type(error).__name__
