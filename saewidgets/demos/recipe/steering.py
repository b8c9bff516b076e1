"""The demo's steering recipes: features with a clear effect, found and proved by measurement.

Run ``python -m saewidgets.demos.recipe.steering`` (about 25 minutes on two cores; it goes on where it was stopped).

1. Every live feature is ranked by its output score (`ranking`).
2. Features are matched to concepts by what they fire on and promote (`matching`, `concepts`), never by steered text.
3. The strength is the sweet spot of a small sweep: largest effect with perplexity and repetition within limits.
4. The effect is the rate of the concept's words, less those the feature promotes, over `PROMPTS` × `SEEDS`, against a
   random direction of equal norm and another feature of similar density at the same strength. It counts when it is
   three times both, with 95 % intervals apart and at least `DISTINCT` different words, and its texts are within the
   limits too.

A category without such a feature is named as missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from saewidgets.analysis import quality
from saewidgets.analysis.promoted import promoted_tokens
from saewidgets.analysis.sweep import control_feature
from saewidgets.analysis.write import Steerer, Style, Written
from saewidgets.demos import DATA, demo
from saewidgets.demos.recipe.concepts import CATEGORIES, CONCEPTS, Concept
from saewidgets.demos.recipe.effect import Interval, counted_words, passes, rate, share
from saewidgets.demos.recipe.matching import Candidate, candidates, promoted_ids
from saewidgets.demos.recipe.ranking import NEUTRAL, Score, rank, strength_of
from saewidgets.lm.cache import write_json
from saewidgets.lm.sampling import Sampling
from saewidgets.lm.tokens import Tokens
from saewidgets.records import Intervention, clamp
from saewidgets.session import Session

PROMPTS = (
    "Tell me about your day.",
    "What did you do last weekend?",
    "Write a few sentences about anything you like.",
    "What should I do this afternoon?",
    "Who are you?",
    "What are you thinking about?",
    "Tell me something interesting.",
    "Give me some advice.",
    "What is important in life?",
    "Describe what you see.",
    "What do you remember?",
    "Tell me a story.",
    "What happened next?",
    "What is your opinion?",
    "How do you feel today?",
    "What would you like to talk about?",
    "Explain something to me.",
    "What do people often forget?",
    "Write the beginning of a text.",
    "What comes to your mind first?",
)
SEEDS = (0, 1, 2)
WRITTEN = Style(Sampling(temperature=0.8, top_p=0.95), max_new_tokens=32)
PUSHES = (0.15, 0.25, 0.35, 0.5, 0.7)
"""How long a change may be, in median residual norms: from hardly felt to too much (DESIGN §5)."""
DISTINCT = 3  # words of the list that must appear at least: a feature that repeats one is no concept
SWEPT = 4  # prompts on which the sweet spot is looked for
MINUTES = 25.0
Texts = list[list[str]]


def find(session: Session, work: Path, minutes: float = MINUTES, most: int = 60) -> dict[str, Any]:
    """Run all steps; returns what is shipped. ``work`` keeps the ranking and every candidate's measurement."""
    end = time.monotonic() + 60 * minutes
    work.mkdir(parents=True, exist_ok=True)
    steerer = session._steerer([], measured=True)
    density = session._density
    prompts = [session.model.tokens(text, session.prepend_bos) for text in NEUTRAL]
    ranking = rank(steerer, prompts, work / "ranking.jsonl")
    chosen = _by_turns(candidates(session, CONCEPTS, ranking))[:most]
    bench = Bench(session, steerer, density)
    path = work / "measured.jsonl"
    measured = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    done = {(row["concept"], row["feature"]) for row in measured}
    scores = {score["feature"]: (at, score) for at, score in enumerate(ranking, 1)}
    for candidate in chosen:
        if (candidate.concept.name, candidate.feature) in done:
            continue
        if time.monotonic() > end:
            print("out of time: run it again to go on")
            break
        place, score = scores[candidate.feature]
        row = {**bench.measure(candidate), "output_rank": place, **_rounded(score)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        measured.append(row)
        print(f"{row['category']} · {row['concept']} · {row['feature']}: {row['verdict']}", flush=True)
    return summary(session, measured, ranking)


def _by_turns(found: Sequence[Candidate]) -> list[Candidate]:
    """The best of every category, then the second best of each, and so on: time may run out."""
    queues = {category: [c for c in found if c.concept.category == category] for category in CATEGORIES}
    longest = max(map(len, queues.values()), default=0)
    return [queue[at] for at in range(longest) for queue in queues.values() if at < len(queue)]


class Bench:
    """Writes and measures texts; the bare model's are written once."""

    def __init__(self, session: Session, steerer: Steerer, density: np.ndarray) -> None:
        self.session, self.steerer, self.density = session, steerer, density
        self.prompts = [self.tokens(prompt) for prompt in PROMPTS]
        bare = self.written(())
        self.bare = _texts(bare)
        self.limits = self.sense(bare, ())

    def tokens(self, prompt: Any) -> Tokens:
        """A prompt in the chat template, or as it is where the model has none."""
        return self.session._prompt(prompt, None)

    def measure(self, candidate: Candidate) -> dict[str, Any]:
        """Everything about one candidate; controls only where there is an effect to compare."""
        concept, feature = candidate.concept, candidate.feature
        model, sae = self.steerer.model, self.steerer.sae
        ids = promoted_tokens(model, sae, [feature], 10)[0].tolist()
        struck = promoted_ids(self.session, [feature], [concept])[0].tolist()
        promoted = model.tokenizer.batch_decode([[number] for number in struck])
        words = counted_words(concept.words, promoted)
        row = {
            "concept": concept.name, "category": concept.category, "feature": feature,
            "contrast": round(candidate.contrast, 3), "hits": candidate.hits,
            "promoted": promoted[:10], "struck": [word for word in concept.words if word not in words],
        }  # fmt: skip
        strength = self.sweet_spot(feature, ids)
        if strength is None:
            return {**row, "verdict": "no strength within the limits"}
        change = (clamp(feature, strength),)
        written = self.written(change)
        texts, sense = _texts(written), self.sense(written, change)
        row |= {"strength": round(strength, 3), **sense, "examples": [own[0] for own in texts[:4]]}
        row["rates"] = {"steered": rate(texts, words), "bare": rate(self.bare, words)}
        row["shares"] = {"steered": share(texts, words), "bare": share(self.bare, words)}
        row["distinct_words"] = sum(share(texts, [word]).value > 0 for word in words)
        if row["rates"]["steered"].value < 2 * row["rates"]["bare"].value or not row["rates"]["steered"].value:
            return {**row, "verdict": "no effect"}
        other = control_feature(sae, feature, self.density, self.steerer.units.maxima)
        arms: dict[str, tuple[Intervention, ...]] = {"random": (replace(change[0], random=0),)}
        if other is not None:
            arms["control"] = (clamp(other, strength),)
        for name, changes in arms.items():
            found = _texts(self.written(changes))
            row["rates"][name], row["shares"][name] = rate(found, words), share(found, words)
        asked = _texts(self.written((), concept))
        row["rates"]["prompt"], row["shares"]["prompt"] = rate(asked, words), share(asked, words)
        proved = passes(row["rates"]["steered"], [row["rates"][name] for name in arms]) and other is not None
        proved &= row["distinct_words"] >= DISTINCT
        sensible = sense["perplexity"] <= quality.PERPLEXITY * self.limits["perplexity"]
        sensible &= sense["repetition"] <= self.limits["repetition"] + quality.REPETITION
        verdict = "passes" if proved and sensible else "not three times the controls" if sensible else "out of limits"
        return {**row, "control_feature": other, "verdict": verdict}

    def written(self, changes: tuple[Intervention, ...], asked: Concept | None = None) -> list[Written]:
        """Every prompt with every seed, in one batch; prompt by prompt."""
        prompts = self.prompts if asked is None else [self.tokens(f"{p} Answer {asked.ask}.") for p in PROMPTS]
        samplings = [replace(WRITTEN.sampling, seed=seed) for _ in prompts for seed in SEEDS]
        every = [prompt for prompt in prompts for _ in SEEDS]
        return self.steerer.write(every, [changes] * len(every), WRITTEN, samplings=samplings)

    def sense(self, written: Sequence[Written], changes: tuple[Intervention, ...]) -> dict[str, float]:
        """Perplexity under the bare model (geometric mean) and repetition, on the texts of the first seed."""
        first = written[:: len(SEEDS)]
        losses = []
        for prompt, one in zip(self.prompts, first, strict=True):
            if one.ids:
                found = quality.measure(self.steerer, prompt, [quality.Text(prompt, (), one.ids)])[0]
                losses.append(np.log(found.perplexity))
        repeated = [quality.repetition(one.ids) for one in written]
        return {
            "perplexity": round(float(np.exp(np.mean(losses))), 3),
            "repetition": round(float(np.mean(repeated)), 3),
        }

    def sweet_spot(self, feature: int, promoted: Sequence[int]) -> float | None:
        """The strength of largest effect on the promoted tokens, of those within the limits, over `SWEPT` prompts."""
        strengths = sorted({round(strength_of(self.steerer, feature, push), 3) for push in PUSHES})
        prompts = self.prompts[:SWEPT]
        rows = [(clamp(feature, m),) for m in strengths for _ in prompts]
        repeated = [prompt for _ in strengths for prompt in prompts]
        written = self.steerer.write(repeated, rows, WRITTEN)
        best, effect = None, -np.inf
        for at, strength in enumerate(strengths):
            here = slice(at * len(prompts), (at + 1) * len(prompts))
            texts = [
                (p, quality.Text(p, row, one.ids))
                for p, row, one in zip(repeated[here], rows[here], written[here], strict=True)
                if one.ids
            ]
            found = [quality.measure(self.steerer, p, [text], promoted)[0] for p, text in texts]
            if not found:
                continue
            perplexity = np.exp(np.mean([np.log(q.perplexity) for q in found]))
            repeats = np.mean([quality.repetition(text.made) for _, text in texts])
            change = float(np.mean([q.delta_logprob for q in found]))
            fine = perplexity <= quality.PERPLEXITY * self.limits["perplexity"]
            if fine and repeats <= self.limits["repetition"] + quality.REPETITION and change > effect:
                best, effect = strength, change
        return best


def _texts(written: Sequence[Written]) -> Texts:
    """By prompt, then seed."""
    return [[one.steered.text for one in written[at : at + len(SEEDS)]] for at in range(0, len(written), len(SEEDS))]


def _rounded(score: Score) -> dict[str, float]:
    return {key: round(float(score[key]), 4) for key in ("output_score", "gain", "readback")}  # type: ignore[literal-required]


def summary(session: Session, measured: Sequence[dict[str, Any]], ranking: Sequence[Score]) -> dict[str, Any]:
    """What is shipped: recipes that pass, what failed, categories with none, and the ranking in figures."""
    passed = [row for row in measured if row["verdict"] == "passes"]
    passed.sort(key=lambda row: -_ratio(row))
    gains = np.array([score["gain"] for score in ranking])
    return {
        "sae_hash": session.sae.hash(),
        "model": session.model.name,
        "protocol": {
            "prompts": len(PROMPTS), "seeds": len(SEEDS), "tokens": WRITTEN.max_new_tokens,
            "temperature": WRITTEN.sampling.temperature, "top_p": WRITTEN.sampling.top_p,
            "rate": "concept words a hundred words, promoted tokens struck; 95 % by bootstrap over prompts",
            "passes": "3 times both controls, intervals apart, 3 different words, perplexity and repetition in limits",
        },
        "ranking": {
            "features": len(ranking),
            "gain_quantiles": {str(q): round(float(np.quantile(gains, q)), 5) for q in (0.5, 0.9, 0.99, 0.999)},
            "first": [_rounded(score) | {"feature": score["feature"]} for score in ranking[:20]],
        },
        "recipes": [{"name": row["concept"], "prompt": PROMPTS[0], **row} for row in passed],
        "missing": [c for c in CATEGORIES if c not in {row["category"] for row in passed}],
        "tried": [
            {key: row[key] for key in ("concept", "category", "feature", "verdict")}
            | {"rates": {name: list(figures) for name, figures in row.get("rates", {}).items()}}
            for row in measured
            if row["verdict"] != "passes"
        ],
    }  # fmt: skip


def _ratio(row: dict[str, Any]) -> float:
    rates = {name: Interval(*figures) for name, figures in row["rates"].items()}
    return rates["steered"].value / max(rates["random"].value, rates["control"].value, 1e-3)


def main() -> None:
    """Find recipes and write ``steering.json`` beside the demo's SAE."""
    parser = argparse.ArgumentParser(prog="python -m saewidgets.demos.recipe.steering", description=main.__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/recipe/steering"))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--out", type=Path, default=DATA / "steering.json")
    given = parser.parse_args()
    found = find(demo(), given.work, given.minutes)
    write_json(given.out, found)
    print(f"{len(found['recipes'])} recipes; missing: {', '.join(found['missing']) or 'no category'} → {given.out}")


if __name__ == "__main__":
    main()
