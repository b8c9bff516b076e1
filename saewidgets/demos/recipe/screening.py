"""A first look at steered text, to choose what is measured: which features write which concept's words.

Prompts and seed are other ones than those an effect is measured with: what is chosen for its words here must show them
again there, against controls, or it does not pass.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from saewidgets.analysis.write import Steerer, Style
from saewidgets.demos.recipe.concepts import Concept
from saewidgets.demos.recipe.effect import count, counted_words
from saewidgets.demos.recipe.matching import Candidate, candidates, promoted_ids, strongest
from saewidgets.demos.recipe.ranking import Score, strength_of
from saewidgets.lm.sampling import Sampling
from saewidgets.records import clamp
from saewidgets.session import Session

PROMPTS = (
    "What is on your mind?",
    "Write something short.",
    "Can you help me with something?",
    "How was your morning?",
    "Please continue.",
    "What do you know a lot about?",
    "Begin a new paragraph.",
    "Say something I have not heard before.",
)
WRITTEN = Style(Sampling(temperature=0.8, top_p=0.95, seed=1000), max_new_tokens=24)
PUSH = 0.35  # how long a change is, in median residual norms: the middle of what is tried afterwards
MATCHED, STRONG = 14, 200  # features a concept that match it, and of the highest gain, whatever they fire on
CHUNK = 16  # features whose texts are written at once
EACH = 3  # features a concept that are measured
UNSEEN = 0.25  # what a feature counts that does not fire on the concept's sentences
HITS, DIFFERENT = 3, 2  # words of the list that must have come, and how many different ones


class Screened(NamedTuple):
    """A concept's words in one feature's texts."""

    feature: int
    concept: str
    hits: int
    different: int
    expected: float
    """Hits, at the rate of all features' texts together."""

    @property
    def surprise(self) -> float:
        """Standard deviations above what is expected, of a Poisson count."""
        return (self.hits - self.expected) / (self.expected + 1.0) ** 0.5


def chosen(session: Session, concepts: Sequence[Concept], ranking: Sequence[Score]) -> list[int]:
    """Which features are looked at: those likest each concept, and those with the highest gain."""
    matched = [candidate.feature for candidate in candidates(session, concepts, ranking, MATCHED)]
    return list(dict.fromkeys([*matched, *(score["feature"] for score in ranking[:STRONG])]))


def write(
    session: Session, steerer: Steerer, features: Sequence[int], path: Path, push: float = PUSH
) -> dict[int, list[str]]:
    """A text a prompt for every feature; ``path`` keeps a line a chunk and is gone on with."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    texts: dict[int, list[str]] = {row["feature"]: row["texts"] for line in lines for row in json.loads(line)}
    todo = [feature for feature in features if feature not in texts]
    prompts = [session._prompt(prompt, None) for prompt in PROMPTS]
    for start in range(0, len(todo), CHUNK):
        part = todo[start : start + CHUNK]
        changes = [(clamp(f, strength_of(steerer, f, push)),) for f in part for _ in prompts]
        written = [one.steered.text for one in steerer.write(prompts * len(part), changes, WRITTEN)]
        made = {f: written[at * len(prompts) : (at + 1) * len(prompts)] for at, f in enumerate(part)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([{"feature": f, "texts": own} for f, own in made.items()]) + "\n")
        texts |= made
        print(f"screened {len(texts)} of {len(features)} features", flush=True)
    return {feature: texts[feature] for feature in features}


def counted(session: Session, texts: dict[int, list[str]], concepts: Sequence[Concept]) -> list[Screened]:
    """Every feature's count of every concept's words, less those it promotes, where there are any."""
    features = list(texts)
    decode = session.model.tokenizer.batch_decode
    promoted = [decode([[number] for number in own]) for own in promoted_ids(session, features, concepts).tolist()]
    joined = {feature: " \n".join(own) for feature, own in texts.items()}
    lengths = np.array([count(text, ())[1] for text in joined.values()], float)
    found = []
    for concept in concepts:
        hits, different = np.zeros((2, len(features)), int)
        for at, (text, own) in enumerate(zip(joined.values(), promoted, strict=True)):
            if not count(text, concept.words)[0]:
                continue
            words = counted_words(concept.words, own)
            each = [count(text, [word])[0] for word in words]
            hits[at], different[at] = sum(each), np.count_nonzero(each)
        expected = lengths * hits.sum() / max(lengths.sum(), 1)
        found += [
            Screened(features[at], concept.name, int(hits[at]), int(different[at]), round(float(expected[at]), 3))
            for at in np.flatnonzero(hits)
        ]
    return found


def pairs(
    session: Session, rows: Sequence[Screened], concepts: Sequence[Concept], ranking: Sequence[Score]
) -> list[Candidate]:
    """The features of every concept to be measured, best first over all; no feature stands twice.

    What a feature fires on counts too: a recipe that its card explains is worth more than one that surprises.
    """
    by_name = {concept.name: at for at, concept in enumerate(concepts)}
    activity = strongest(session, concepts)
    places = {score["feature"]: 1 - at / len(ranking) for at, score in enumerate(ranking)}
    contrasts = activity - (activity.sum(0) - activity) / max(len(concepts) - 1, 1)

    def contrast(row: Screened) -> float:
        return float(contrasts[by_name[row.concept], row.feature])

    enough = [row for row in rows if row.hits >= HITS and row.different >= DIFFERENT]
    best = sorted(enough, key=lambda row: (-row.surprise * (UNSEEN + max(contrast(row), 0.0)), row.feature))
    taken: set[int] = set()
    number = dict.fromkeys(by_name, 0)
    found: list[Candidate] = []
    for row in best:
        if row.feature in taken or number[row.concept] == EACH:
            continue
        taken.add(row.feature)
        number[row.concept] += 1
        concept = concepts[by_name[row.concept]]
        found.append(Candidate(concept, row.feature, contrast(row), row.hits, places[row.feature]))
    return found


def table(rows: Sequence[Screened]) -> pd.DataFrame:
    """The counts, a row a feature and concept."""
    return pd.DataFrame(rows, columns=list(Screened._fields))
