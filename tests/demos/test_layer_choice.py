"""Comparing layers: which feature stands for a concept, and what its texts are counted for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saewidgets as sw
from saewidgets.analysis import maxima as analysis_maxima
from saewidgets.analysis.write import Style
from saewidgets.demos.recipe import layers, screening
from saewidgets.demos.recipe.concepts import Concept
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sampling import Sampling
from saewidgets.session import Session

HOOK = "blocks.2.hook_resid_post"
MADE_UP = (
    Concept("letters", "place", "with letters", ("a", "e", "cl", "u"), ("The bridge.", "a e u", "She said")),
    Concept("marks", "code", "with marks", ("(", ")", "=", "|"), ("def f(x):", "x = (1)", "return (x)")),
)


@pytest.fixture
def session(
    tiny_llama: LanguageModel, make_sae: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Session:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path / "cache"))
    for name in ("SAMPLE_TOKENS", "NORM_TOKENS", "DENSITY_TOKENS"):
        monkeypatch.setattr(analysis_maxima, name, 4 * 128)
    monkeypatch.setattr(layers, "CONCEPTS", MADE_UP)
    return sw.load(tiny_llama, sae=make_sae("jumprelu", hook_name=HOOK))


def test_no_feature_stands_for_two_concepts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    fires = np.zeros((2, 48))
    fires[0, [5, 7]] = 0.9, 0.5
    fires[1, [5, 9]] = 0.3, 0.2  # 5 has the larger activation on the second concept, but belongs to the first
    monkeypatch.setattr(layers, "strongest", lambda s, concepts: fires)
    assert layers.matched(session) == {"letters": 5, "marks": 9}
    fires[1, 5] = 2.0
    assert layers.matched(session) == {"marks": 5, "letters": 7}


def test_what_is_written_is_counted(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "PUSHES", (0.2, 4.0))
    monkeypatch.setattr(screening, "WRITTEN", Style(Sampling(1.0, seed=3), max_new_tokens=12))
    monkeypatch.setattr(screening, "promoted_ids", lambda s, features, concepts: np.zeros((len(features), 1), int))
    rows = layers.steering(session, tmp_path)
    assert [row["push"] for row in rows] == [0.2, 4.0]
    own = layers.matched(session)
    for row in rows:
        lines = (tmp_path / f"steered_{row['push']}.jsonl").read_text().splitlines()
        texts = {one["feature"]: " \n".join(one["texts"]).lower() for line in lines for one in json.loads(line)}
        here, there = [], []
        for concept in MADE_UP:
            patterns = [rf"(?<!\w){w}s?(?!\w)" if w.isalpha() else re.escape(w) for w in concept.words]
            for rates, features in ((here, {own[concept.name]}), (there, set(own.values()) - {own[concept.name]})):
                found = " \n".join(texts[feature] for feature in features)
                number = sum(len(re.findall(pattern, found)) for pattern in patterns)
                rates.append(100 * number / max(len(found.split()), 1))
        assert (row["words"], row["elsewhere"]) == pytest.approx((np.mean(here), np.mean(there)), abs=1e-3)
        assert row["concepts"] <= len(MADE_UP)
    assert rows[1]["nats"] > rows[0]["nats"], "a change four times as long as the residual breaks the language"
