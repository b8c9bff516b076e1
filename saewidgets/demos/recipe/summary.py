"""What is shipped of the search for recipes: those that pass, what failed, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saewidgets.demos.recipe.concepts import CATEGORIES
from saewidgets.demos.recipe.effect import Interval
from saewidgets.demos.recipe.ranking import Score


def summary(measured: Sequence[dict[str, Any]], ranking: Sequence[Score], prompt: str) -> dict[str, Any]:
    """Recipes that pass, what failed, categories with none, and the ranking in figures."""
    passed = [row for row in measured if row["verdict"] == "passes"]
    passed.sort(key=lambda row: -_ratio(row))
    gains = np.array([score["gain"] for score in ranking])
    return {
        "ranking": {
            "features": len(ranking),
            "gain_quantiles": {str(q): round(float(np.quantile(gains, q)), 5) for q in (0.5, 0.9, 0.99, 0.999)},
            "first": [rounded(score) | {"feature": score["feature"]} for score in ranking[:20]],
        },
        "recipes": [{"name": row["concept"], "prompt": prompt, **row} for row in passed],
        "missing": [c for c in CATEGORIES if c not in {row["category"] for row in passed}],
        "tried": [
            {key: row[key] for key in ("concept", "category", "feature", "verdict")}
            | {"rates": {name: list(figures) for name, figures in row.get("rates", {}).items()}}
            for row in measured
            if row["verdict"] != "passes"
        ],
    }


def rounded(score: Score) -> dict[str, float]:
    """What a ranking says of a feature, to four digits."""
    return {key: round(float(score[key]), 4) for key in ("output_score", "gain", "readback")}  # type: ignore[literal-required]


def _ratio(row: dict[str, Any]) -> float:
    rates = {name: Interval(*figures) for name, figures in row["rates"].items()}
    return rates["steered"].value / max(rates["random"].value, rates["control"].value, 1e-3)
