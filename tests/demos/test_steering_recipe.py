# pyright: reportGeneralTypeIssues=false
"""Finding steering recipes: counting, intervals, scores by hand, and the whole search on a tiny model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import saewidgets as sw
from saewidgets import demos
from saewidgets.analysis import maxima as analysis_maxima
from saewidgets.analysis.promoted import promoted_tokens
from saewidgets.analysis.steer import Units
from saewidgets.analysis.write import Steerer, Style
from saewidgets.demos.recipe import ranking, screening, steering
from saewidgets.demos.recipe.concepts import CATEGORIES, CONCEPTS, Concept
from saewidgets.demos.recipe.effect import Interval, count, counted_words, passes, rate, share
from saewidgets.demos.recipe.matching import Candidate, candidates, hits, promoted_ids
from saewidgets.lm.capture import capture, logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sampling import Sampling
from saewidgets.session import Session

HOOK = "blocks.2.hook_resid_post"


def test_every_category_has_concepts_with_their_own_lists() -> None:
    assert {concept.category for concept in CONCEPTS} == set(CATEGORIES)
    assert len({concept.name for concept in CONCEPTS}) == len(CONCEPTS)
    for concept in CONCEPTS:
        assert len(set(concept.words)) == len(concept.words) >= 28, concept.name
        assert len(concept.sentences) == 3 and all(concept.words)
        neutral = " ".join(steering.PROMPTS).lower()
        assert not any(sentence.lower() in neutral for sentence in concept.sentences)


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("The bridge, two Bridges; abridged bridge-head.", ("bridge",), 3),
        ("San  Francisco and san francisco", ("san francisco",), 1),
        ("def f(): return {}", ("def", "{", "()"), 3),
        ("## A\n### B", ("##",), 2),
        ("the THE The", ("THE", "AND"), 1),
        ("C++ and c++", ("c++",), 2),
        ("", ("a",), 0),
    ],
)
def test_counting_words(text: str, words: tuple[str, ...], found: int) -> None:
    assert count(text, words) == (found, len(re.findall(r"\S+", text)))


def test_promoted_words_are_struck() -> None:
    words = ("bridge", "bridges", "golden gate", "span", "river", "fog", "bay")
    assert counted_words(words, [" Bridge", "gate", " fo", " riv", "", " s"]) == ("span", "fog", "bay")


def test_the_rate_and_its_interval_by_hand() -> None:
    texts = [["a a b", "b b"], ["a b b b b"], ["b b b b b"]]
    found = rate(texts, ("a",))
    assert found.value == pytest.approx(100 * 3 / 15)
    rng = np.random.default_rng(0).integers(0, 3, (2000, 3))
    totals = np.array([[2, 5], [1, 5], [0, 5]])
    by_hand = sorted(100 * sum(totals[i][0] for i in row) / sum(totals[i][1] for i in row) for row in rng)
    assert found.low == pytest.approx(np.quantile(by_hand, 0.025)) and found.high == pytest.approx(
        np.quantile(by_hand, 0.975)
    )


def test_the_share_has_wilsons_interval() -> None:
    found = share([["a", "b"], ["a", "b"], ["b", "b"]], ("a",))
    n, p, z = 6, 2 / 6, 1.959964
    root = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found == pytest.approx((p, (p + z**2 / 12 - root) / (1 + z**2 / n), (p + z**2 / 12 + root) / (1 + z**2 / n)))


def test_passing_needs_three_times_and_intervals_apart() -> None:
    strong, near = Interval(9.0, 6.0, 12.0), Interval(3.1, 2.0, 4.0)
    assert passes(strong, [Interval(3.0, 2.0, 5.9), Interval(0.0, 0.0, 0.0)])
    assert not passes(strong, [Interval(3.0, 2.0, 6.0)])
    assert not passes(strong, [Interval(0.0, 0.0, 0.0), near])


@pytest.fixture
def steerer(tiny: LanguageModel, any_sae: Any) -> Steerer:
    return Steerer(tiny, any_sae, HOOK, Units(np.linspace(1, 4, 48).astype(np.float32), 6.0))


def test_the_output_score_by_hand(steerer: Steerer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BATCH", 3)
    monkeypatch.setattr(ranking, "CHUNK", 5)
    prompts = [steerer.model.tokens("The bridge"), steerer.model.tokens("She said that")]
    features = [3, 20, 7, 40, 11, 30, 1]
    found = ranking.rank(steerer, prompts, tmp_path / "ranking.jsonl", features)
    assert [score["feature"] for score in found] == [
        s["feature"] for s in sorted(found, key=lambda s: (-s["gain"], s["feature"]))
    ]
    assert len((tmp_path / "ranking.jsonl").read_text().splitlines()) == 2
    for score in found:
        feature, sae = score["feature"], steerer.sae
        direction, maximum = sae.W_dec[feature], float(steerer.units.maxima[feature])
        strength = min(max(0.3 * 6.0 / (maximum * float(direction.norm())), 0.25), 10.0)
        assert score["strength"] == pytest.approx(strength)
        own = promoted_tokens(steerer.model, sae, [feature], 20)[0]
        scores, plain, changes, read = [], [], [], []
        for prompt in prompts:
            ids = torch.tensor([prompt.ids])
            x = capture(steerer.model, ids, HOOK)
            wanted = x.clone()
            f = sae.encode(x).feature(feature)
            wanted[0, 1:] += ((strength * maximum - f[..., None]) * direction)[0, 1:]
            pair = [
                logits_with(steerer.model, ids, HOOK, e)[0, -1].log_softmax(-1) for e in (lambda _, w=wanted: w, None)
            ]
            for logprobs, into in zip(pair, (scores, plain), strict=True):
                ranks = logprobs.argsort(descending=True, stable=True).argsort()
                into.append((1 - int(ranks[own].min()) / len(logprobs)) * float(logprobs[own].exp().max()))
            changes.append(float((pair[0] - pair[1])[own].mean()))
            read.append(float(sae.encode(wanted[0, -1:]).feature(feature)) / (strength * maximum))
        assert score["output_score"] == pytest.approx(np.mean(scores), abs=1e-4)
        assert score["gain"] == pytest.approx(np.mean(scores) - np.mean(plain), abs=1e-4)
        assert score["delta_logprob"] == pytest.approx(np.mean(changes), abs=1e-3)
        assert score["readback"] == pytest.approx(np.mean(read), abs=1e-3)


def test_a_ranking_goes_on_where_it_was(steerer: Steerer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, path = [steerer.model.tokens("The bridge")], tmp_path / "ranking.jsonl"
    whole = ranking.rank(steerer, prompts, tmp_path / "whole.jsonl", [3, 20, 7])
    ranking.rank(steerer, prompts, path, [3, 20])
    scored: list[int] = []
    score = ranking._score
    monkeypatch.setattr(ranking, "_score", lambda a, b, features: scored.extend(features) or score(a, b, features))
    again = ranking.rank(steerer, prompts, path, [3, 20, 7])
    assert scored == [7]
    assert [s["feature"] for s in again] == [s["feature"] for s in whole]


@pytest.fixture
def session(
    tiny_llama: LanguageModel, make_sae: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Session:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path / "cache"))
    for name in ("SAMPLE_TOKENS", "NORM_TOKENS", "DENSITY_TOKENS"):
        monkeypatch.setattr(analysis_maxima, name, 4 * 128)
    return sw.load(tiny_llama, sae=make_sae("jumprelu", hook_name=HOOK))


MADE_UP = (
    Concept("letters", "place", "with letters", ("a", "e", "cl", "u"), ("The bridge.", "a e u", "She said")),
    Concept("marks", "code", "with marks", ("(", ")", "=", "|"), ("def f(x):", "x = (1)", "return (x)")),
)


def test_candidates_come_from_what_features_fire_on_and_promote(session: Session) -> None:
    scores: Any = [{"feature": f} for f in range(48)]
    found = candidates(session, MADE_UP, scores, each=3)
    assert len({c.feature for c in found}) == len(found) and {c.concept.name for c in found} == {"letters", "marks"}
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    for candidate in found:
        shares = []
        for concept in MADE_UP:
            best = [
                session.token_acts(t, scale="native").feature_acts(candidate.feature)[1:].max()
                for t in concept.sentences
            ]
            maximum = session.maxima[candidate.feature]
            shares.append(np.mean(best) / maximum if maximum else 0.0)
        own = MADE_UP.index(candidate.concept)
        assert candidate.contrast == pytest.approx(shares[own] - shares[1 - own], abs=1e-4)
        promoted = promoted_ids(session, [candidate.feature], MADE_UP)
        words = [session.model.tokenizer.decode([i]).strip().lower() for i in promoted[0]]
        assert candidate.hits == sum(word in candidate.concept.words for word in words)
        assert hits(session, promoted, candidate.concept).tolist() == [candidate.hits]


def test_screening_meets_no_prompt_nor_seed_of_the_measurement() -> None:
    assert not {p.lower() for p in screening.PROMPTS} & {p.lower() for p in steering.PROMPTS}
    assert screening.WRITTEN.sampling.seed not in steering.SEEDS
    assert not any(sentence in screening.PROMPTS for concept in CONCEPTS for sentence in concept.sentences)


def test_screened_texts_are_what_generate_writes_and_are_gone_on_with(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "CHUNK", 2)
    steerer, path = session._steerer([], measured=True), tmp_path / "screened.jsonl"
    features = [int(f) for f in np.argsort(session.maxima)[-5:]]
    screening.write(session, steerer, features[:2], path)
    made, write = [], Steerer.write
    monkeypatch.setattr(
        Steerer, "write", lambda self, prompts, *a, **k: made.append(prompts) or write(self, prompts, *a, **k)
    )
    texts = screening.write(session, steerer, features, path)
    assert list(texts) == features and [len(p) // len(screening.PROMPTS) for p in made] == [2, 1]
    style = screening.WRITTEN
    for feature in (features[0], features[-1]):
        strength = ranking.strength_of(steerer, feature, screening.PUSH)
        for prompt, text in zip(screening.PROMPTS[:3], texts[feature], strict=False):
            assert text == session.generate(
                prompt, {feature: strength}, max_new_tokens=style.max_new_tokens, temperature=0.8, top_p=0.95, seed=1000
            )


def test_what_is_counted_and_what_is_chosen(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "promoted_ids", lambda s, features, concepts: np.zeros((len(features), 1), int))
    texts = {3: ["a e u", "a"], 4: ["( = b", ")"], 5: ["b b b", "b"], 6: ["a a a", "a"], 7: ["a (", "e |"]}
    rows = screening.counted(session, texts, MADE_UP)
    found = {(row.feature, row.concept): row for row in rows}
    assert {key: (row.hits, row.different) for key, row in found.items()} == {
        (3, "letters"): (4, 3), (6, "letters"): (4, 1), (7, "letters"): (2, 2), (4, "marks"): (3, 3),
        (7, "marks"): (2, 2),
    }  # fmt: skip
    assert found[(3, "letters")].expected == pytest.approx(4 * 10 / 20)
    assert found[(3, "letters")].surprise == pytest.approx((4 - 2) / 3**0.5)
    scores: Any = [{"feature": f} for f in range(48)]
    fires = np.zeros((2, 48))
    fires[1, 4] = 0.9
    monkeypatch.setattr(screening, "strongest", lambda s, concepts: fires)
    chosen = screening.pairs(session, rows, MADE_UP, scores)
    assert [c.contrast for c in chosen] == pytest.approx([0.9, 0.0])
    assert [(c.concept.name, c.feature, c.hits) for c in chosen] == [("marks", 4, 3), ("letters", 3, 4)]
    monkeypatch.setattr(screening, "EACH", 0)
    assert screening.pairs(session, rows, MADE_UP, scores) == []


def test_what_is_measured_next() -> None:
    place, code = (Candidate(concept, 1, 0.5, 3, 0.5) for concept in MADE_UP)
    other = Candidate(MADE_UP[0]._replace(name="other"), 2, 0.1, 3, 0.5)
    waiting = [place, other, code]

    def row(candidate: Candidate, verdict: str) -> dict[str, Any]:
        concept = candidate.concept
        return {"concept": concept.name, "category": concept.category, "feature": candidate.feature, "verdict": verdict}

    assert steering._next(waiting, []) is place
    assert steering._next(waiting, [row(place, "passes")]) is code
    assert steering._next(waiting, [row(place, "no effect")]) is code
    assert steering._next(waiting, [row(place, "no effect"), row(code, "passes")]) is other
    again = place._replace(feature=7)  # of a concept that has a recipe
    assert steering._next([again, *waiting], [row(place, "passes"), row(code, "no effect")]) is other
    assert steering._next(waiting, [row(c, "no effect") for c in waiting]) is None


def test_the_whole_search(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "CONCEPTS", MADE_UP)
    monkeypatch.setattr(steering, "PROMPTS", ("The bridge", "She said", "The", "A ferry"))
    monkeypatch.setattr(steering, "WRITTEN", Style(Sampling(1.0), max_new_tokens=6))
    monkeypatch.setattr(screening, "HITS", 1)
    monkeypatch.setattr(screening, "DIFFERENT", 1)
    found = steering.find(session, tmp_path / "work", minutes=60)
    assert json.loads(json.dumps(found)) is not None
    measured = [json.loads(line) for line in (tmp_path / "work" / "measured.jsonl").read_text().splitlines()]
    assert len(measured) == len(found["recipes"]) + len(found["tried"]) > 0
    assert set(found["missing"]) == set(CATEGORIES) - {row["category"] for row in found["recipes"]}
    assert set(found["missing"]) >= set(CATEGORIES) - {"place", "code"}
    for row in found["recipes"]:
        rates = row["rates"]
        assert all(rates["steered"][0] >= 3 * rates[arm][0] for arm in ("random", "control"))
        assert all(rates["steered"][1] > rates[arm][2] for arm in ("random", "control"))
    assert {row["feature"] for row in measured} <= set(pd.read_csv(tmp_path / "work" / "screened.csv.gz")["feature"])
    monkeypatch.setattr(steering.Bench, "measure", lambda self, candidate: pytest.fail("measured twice"))
    monkeypatch.setattr(Steerer, "write", lambda *_, **__: pytest.fail("written twice"))
    monkeypatch.setattr(steering.Bench, "__init__", lambda *_: None)
    again = steering.find(session, tmp_path / "work", minutes=60)
    assert json.dumps(again) == json.dumps(json.loads(json.dumps(found)))


def test_shipped_recipes_belong_to_the_shipped_sae() -> None:
    """Where recipes are shipped at all, `sw.demo()` must not drop them as another SAE's."""
    from saewidgets.sae import files

    path = demos.DATA / "steering.json"
    found = demos.recipes(files.load(demos.DATA / "sae"), path)
    assert (found is not None) == path.exists()
    if found is not None:
        assert len(found) == len(json.loads(path.read_text("utf-8"))["recipes"])
        assert (found["low"] > found[["rate_random", "rate_control"]].max(axis=1)).all()


def test_recipes_of_another_sae_are_not_shown(session: Session, tmp_path: Path) -> None:
    row = {"name": "x", "category": "place", "feature": 3, "strength": 2.0, "prompt": "Who?", "perplexity": 3.0}
    row |= {"repetition": 0.0, "output_rank": 1, "promoted": ["a"]}
    row["rates"] = {arm: [1.0, 0.5, 2.0] for arm in ("steered", "random", "control", "prompt", "bare")}
    path = tmp_path / "steering.json"
    path.write_text(json.dumps({"sae_hash": session.sae.hash(), "recipes": [row]}))
    found = demos.recipes(session.sae, path)
    assert found is not None and found.loc[0, "rate"] == 1.0 and found.loc[0, "rate_prompt"] == 1.0
    path.write_text(json.dumps({"sae_hash": "other", "recipes": [row]}))
    assert demos.recipes(session.sae, path) is None
    assert demos.recipes(session.sae, tmp_path / "none.json") is None
