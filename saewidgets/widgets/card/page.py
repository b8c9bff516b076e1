"""The saved page of one card or of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saewidgets.records import FeatureList, Provenance
from saewidgets.widgets.card import wire


@dataclass(frozen=True)
class Page:
    """Cards to browse without a kernel, as `save_page` takes them; the list holds these features only.

    Attributes:
        cards: feature → card as packed by `wire.pack_card`, in the order to browse.
        all_features: a few numbers of every feature.
        badge: whether the SAE fits the model.
        provenance: where the numbers come from.
    """

    _esm: str
    _css: str
    cards: Mapping[int, bytes]
    all_features: FeatureList
    badge: Mapping[str, Any]
    provenance: Provenance

    def _page_state(self) -> dict[str, Any]:
        return {"badge": self.badge, "feature": next(iter(self.cards)), "features": None, "_can": []}

    def _page_blob(self) -> bytes:
        return wire.pack_page(self.cards, wire.pack_list(self.all_features, list(self.cards)))

    def _provenance(self) -> Provenance:
        return self.provenance
