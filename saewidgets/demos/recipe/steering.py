"""The demo's steering recipes: features with a clear effect, found and proved by measurement.

Run ``python -m saewidgets.demos.recipe.steering`` (it goes on where it was stopped).

1. Every live feature is ranked by its output score (`ranking`).
2. Features that fire on a concept or promote its words (`matching`), and those that change the next token most, write
   a few words on other prompts and another seed; those whose texts use a concept's words are measured (`screening`).
   The word lists (`concepts`) are older than any steered text.
3. The strength is the highest at which perplexity and repetition stay within limits, looked for in a small sweep and
   then on every prompt; the next lower one is tried once.
4. A feature with less than twice the bare model's rate of concept words on every prompt, once, has no effect.
5. The effect is the rate of the concept's words, less those the feature promotes, over `PROMPTS` × `SEEDS`, against a
   random direction of equal norm and another feature of similar density at the same strength. It counts when it is
   three times both, with 95 % intervals apart and at least `DISTINCT` different words, and its texts are within the
   limits too.

A concept with such a feature is done; a category without one is named as missing.
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
from saewidgets.analysis.sweep import control_feature
from saewidgets.analysis.write import Steerer, Style, Written
from saewidgets.demos import DATA, demo
from saewidgets.demos.recipe import screening
from saewidgets.demos.recipe.concepts import CATEGORIES, CONCEPTS, Concept
from saewidgets.demos.recipe.effect import counted_words, passes, rate, share
from saewidgets.demos.recipe.matching import Candidate, promoted_ids
from saewidgets.demos.recipe.ranking import NEUTRAL, rank, strength_of
from saewidgets.demos.recipe.summary import rounded, summary
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
PUSHES = (0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""How long a change may be, in median residual norms: from hardly felt to too much (DESIGN §5)."""
DISTINCT = 3  # words of the list that must appear at least: a feature that repeats one is no concept
SWEPT = 4  # prompts on which strengths are looked for
TRIED = 2  # strengths tried on all prompts
MINUTES = 25.0
Texts = list[list[str]]


def find(session: Session, work: Path, minutes: float = MINUTES, most: int = 60) -> dict[str, Any]:
    """Run all steps; returns what is shipped. ``work`` keeps each; at most ``most`` candidates are measured."""
    end = time.monotonic() + 60 * minutes
    work.mkdir(parents=True, exist_ok=True)
    steerer = session._steerer([], measured=True)
    density = session._density
    prompts = [session.model.tokens(text, session.prepend_bos) for text in NEUTRAL]
    ranking = rank(steerer, prompts, work / "ranking.jsonl")
    texts = screening.write(session, steerer, screening.chosen(session, CONCEPTS, ranking), work / "screened.jsonl")
    screened = screening.counted(session, texts, CONCEPTS)
    screening.table(screened).to_csv(work / "screened.csv.gz", index=False)
    waiting = screening.pairs(session, screened, CONCEPTS, ranking)
    bench = Bench(session, steerer, density)
    path = work / "measured.jsonl"
    measured = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    scores = {score["feature"]: (at, score) for at, score in enumerate(ranking, 1)}
    while len(measured) < most and (candidate := _next(waiting, measured)):
        if time.monotonic() > end:
            print("out of time: run it again to go on")
            break
        place, score = scores[candidate.feature]
        row = {**bench.measure(candidate), "output_rank": place, **rounded(score)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        measured.append(row)
        print(f"{row['category']} · {row['concept']} · {row['feature']}: {row['verdict']}", flush=True)
    about = {"sae_hash": session.sae.hash(), "model": session.model.name, "protocol": protocol(len(texts))}
    return about | summary(measured, ranking, PROMPTS[0])


def protocol(screened: int) -> dict[str, Any]:
    """How an effect is measured, and how candidates are found."""
    return {
        "prompts": len(PROMPTS), "seeds": len(SEEDS), "tokens": WRITTEN.max_new_tokens,
        "temperature": WRITTEN.sampling.temperature, "top_p": WRITTEN.sampling.top_p,
        "rate": "concept words a hundred words, promoted tokens struck; 95 % by bootstrap over prompts",
        "passes": "3 times both controls, intervals apart, 3 different words, perplexity and repetition in limits",
        "screened": f"{screened} features wrote on {len(screening.PROMPTS)} other prompts and another seed",
    }  # fmt: skip


def _next(waiting: Sequence[Candidate], measured: Sequence[dict[str, Any]]) -> Candidate | None:
    """The best candidate of the category with the fewest recipes, and of those the least tried; None when all are done.

    A concept that has a recipe needs no second one.
    """
    done = {(row["concept"], row["feature"]) for row in measured}
    proved = {row["concept"] for row in measured if row["verdict"] == "passes"}
    places = {category: number for number, category in enumerate(CATEGORIES)}

    def rank_of(category: str) -> tuple[int, int, int]:
        own = [row["verdict"] == "passes" for row in measured if row["category"] == category]
        return sum(own), len(own), places[category]

    left = [c for c in waiting if c.concept.name not in proved and (c.concept.name, c.feature) not in done]
    return min(left, key=lambda c: rank_of(c.concept.category), default=None)


class Bench:
    """Writes and measures texts; the bare model's are written once."""

    def __init__(self, session: Session, steerer: Steerer, density: np.ndarray) -> None:
        self.session, self.steerer, self.density = session, steerer, density
        self.prompts = [self.tokens(prompt) for prompt in PROMPTS]
        bare = self.written(())
        self.bare = _texts(bare)
        self.limits = self.sense(bare)

    def tokens(self, prompt: Any) -> Tokens:
        """A prompt in the chat template, or as it is where the model has none."""
        return self.session._prompt(prompt, None)

    def measure(self, candidate: Candidate) -> dict[str, Any]:
        """Everything about one candidate; controls only where there is an effect to compare."""
        concept, feature = candidate.concept, candidate.feature
        struck = promoted_ids(self.session, [feature], [concept])[0].tolist()
        promoted = self.steerer.model.tokenizer.batch_decode([[number] for number in struck])
        words = counted_words(concept.words, promoted)
        row = {
            "concept": concept.name, "category": concept.category, "feature": feature,
            "contrast": round(candidate.contrast, 3), "hits": candidate.hits,
            "promoted": promoted[:10], "struck": [word for word in concept.words if word not in words],
        }  # fmt: skip
        begun = self.begin(feature)
        if begun is None:
            return {**row, "verdict": "no strength within the limits"}
        strength, written, sense = begun
        texts, once = _texts(written), [own[:1] for own in self.bare]
        row |= {"strength": round(strength, 3), **sense, "examples": [own[0] for own in texts[:4]]}
        row["rates"] = {"steered": rate(texts, words), "bare": rate(once, words)}
        if row["rates"]["steered"].value < 2 * row["rates"]["bare"].value or not row["rates"]["steered"].value:
            return {**row, "verdict": "no effect"}
        more = self.written((clamp(feature, strength),), SEEDS[1:])
        return {
            **row,
            **self.compare(concept, feature, strength, words, [a + b for a, b in zip(written, more, strict=True)]),
        }

    def begin(self, feature: int) -> tuple[float, list[list[Written]], dict[str, float]] | None:
        """The highest strength that makes sense on every prompt, its texts of the first seed, and their figures."""
        for strength in self.sensible_strengths(feature)[:TRIED]:
            written = self.written((clamp(feature, strength),), SEEDS[:1])
            if self.makes_sense(sense := self.sense(written)):
                return strength, written, sense
        return None

    def compare(
        self, concept: Concept, feature: int, strength: float, words: Sequence[str], written: list[list[Written]]
    ) -> dict[str, Any]:
        """A feature's texts of every seed against those of the controls, and the verdict."""
        texts, sense = _texts(written), self.sense(written)
        arms = {"steered": texts, "bare": self.bare}
        other = control_feature(self.steerer.sae, feature, self.density, self.steerer.units.maxima)
        arms["random"] = _texts(self.written((replace(clamp(feature, strength), random=0),)))
        if other is not None:
            arms["control"] = _texts(self.written((clamp(other, strength),)))
        arms["prompt"] = _texts(self.written((), asked=concept))
        rates = {name: rate(found, words) for name, found in arms.items()}
        distinct = sum(share(texts, [word]).value > 0 for word in words)
        proved = other is not None and passes(rates["steered"], [rates["random"], rates["control"]])
        proved &= distinct >= DISTINCT
        sensible = self.makes_sense(sense)
        return {
            **sense,
            "rates": rates,
            "shares": {name: share(found, words) for name, found in arms.items()},
            "distinct_words": distinct,
            "control_feature": other,
            "verdict": "passes"
            if proved and sensible
            else "not three times the controls"
            if sensible
            else "out of limits",
        }

    def written(
        self, changes: tuple[Intervention, ...], seeds: Sequence[int] = SEEDS, asked: Concept | None = None
    ) -> list[list[Written]]:
        """Every prompt with every seed, written in one batch: by prompt, then seed."""
        prompts = self.prompts if asked is None else [self.tokens(f"{p} Answer {asked.ask}.") for p in PROMPTS]
        samplings = [replace(WRITTEN.sampling, seed=seed) for _ in prompts for seed in seeds]
        every = [prompt for prompt in prompts for _ in seeds]
        found = self.steerer.write(every, [changes] * len(every), WRITTEN, samplings=samplings)
        return [found[at : at + len(seeds)] for at in range(0, len(found), len(seeds))]

    def sense(self, written: Sequence[Sequence[Written]]) -> dict[str, float]:
        """Perplexity under the bare model (geometric mean over the texts of the first seed) and mean repetition."""
        found = [
            quality.measure(self.steerer, prompt, [quality.Text(prompt, (), own[0].ids)])[0]
            for prompt, own in zip(self.prompts, written, strict=True)
            if own[0].ids
        ]
        return _sense([one.perplexity for one in found], [one.ids for own in written for one in own])

    def makes_sense(self, sense: dict[str, float]) -> bool:
        """Whether texts are within the limits of a sweet spot, against the bare model's."""
        fluent = sense["perplexity"] <= quality.PERPLEXITY * self.limits["perplexity"]
        return fluent and sense["repetition"] <= self.limits["repetition"] + quality.REPETITION

    def sensible_strengths(self, feature: int) -> list[float]:
        """Strengths within the limits on `SWEPT` prompts, the highest first."""
        strengths = sorted({round(strength_of(self.steerer, feature, push), 3) for push in PUSHES})
        prompts = self.prompts[:SWEPT]
        rows = [(clamp(feature, m),) for m in strengths for _ in prompts]
        written = self.steerer.write([prompt for _ in strengths for prompt in prompts], rows, WRITTEN)
        perplexities: list[list[float]] = [[] for _ in strengths]
        for number, prompt in enumerate(prompts):
            texts = [quality.Text(prompt, (), one.ids) for one in written[number :: len(prompts)]]
            for own, found in zip(perplexities, quality.measure(self.steerer, prompt, texts), strict=True):
                own += [] if np.isnan(found.perplexity) else [found.perplexity]
        made = [[one.ids for one in written[at : at + len(prompts)]] for at in range(0, len(written), len(prompts))]
        senses = [_sense(own, ids) if own else None for own, ids in zip(perplexities, made, strict=True)]
        fine = [m for m, sense in zip(strengths, senses, strict=True) if sense is not None and self.makes_sense(sense)]
        return fine[::-1]


def _sense(perplexities: Sequence[float], made: Sequence[Sequence[int]]) -> dict[str, float]:
    return {
        "perplexity": round(float(np.exp(np.mean(np.log(perplexities)))), 3),
        "repetition": round(float(np.mean([quality.repetition(ids) for ids in made])), 3),
    }


def _texts(written: Sequence[Sequence[Written]]) -> Texts:
    """By prompt, then seed."""
    return [[one.steered.text for one in own] for own in written]


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
