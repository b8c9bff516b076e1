"""Which feature might stand for which concept: by what it fires on and what it promotes, never by steered text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from saewidgets.analysis.promoted import common_tokens, promoted_tokens
from saewidgets.demos.recipe.concepts import Concept
from saewidgets.demos.recipe.ranking import Score
from saewidgets.session import Session

PROMOTED = 30
A_HIT = 0.1  # what a concept word among the promoted tokens counts, against activation as a share of the maximum
MOST_HITS = 5


class Candidate(NamedTuple):
    """A feature to be tried for a concept."""

    concept: Concept
    feature: int
    contrast: float
    """Mean over the concept's sentences of the largest activation, as a share of the maximum, less that elsewhere."""
    hits: int
    """Concept words among its promoted tokens, or in what it wrote when it was screened."""
    place: float
    """Share of all features with a smaller gain."""

    @property
    def score(self) -> float:
        """What candidates are ordered by."""
        return (self.contrast + A_HIT * min(self.hits, MOST_HITS)) * (0.25 + self.place)


def strongest(session: Session, concepts: Sequence[Concept]) -> np.ndarray:
    """Largest activation of every feature on every concept's sentences, as a share of its maximum: ``[n, d_sae]``."""
    maxima = session.maxima
    found = []
    for concept in concepts:
        rows = []
        for sentence in concept.sentences:
            acts = session.token_acts(sentence, scale="native")
            best = np.zeros(session.sae.d_sae, np.float32)
            np.maximum.at(best, acts.indices[~acts.skipped], acts.values[~acts.skipped])
            rows.append(best)
        found.append(np.mean(rows, axis=0))
    return np.array(found) / np.where(maxima > 0, maxima, np.inf)


def promoted_ids(
    session: Session, features: Sequence[int], concepts: Sequence[Concept], k: int = PROMOTED
) -> np.ndarray:
    """The tokens each feature promotes, among common ones and those of the concepts' words: int64 ``[n, k]``."""
    among = common_tokens(session.model, [word for concept in concepts for word in concept.words])
    parts = [features[start : start + 256] for start in range(0, len(features), 256)]
    return torch.cat([promoted_tokens(session.model, session.sae, part, k, among) for part in parts]).numpy()


def hits(session: Session, promoted: np.ndarray, concept: Concept) -> np.ndarray:
    """How many of the promoted tokens ``[n, k]`` are a word of the concept, or begin one with four letters: ``[n]``."""
    words = {word.lower() for word in concept.words}
    starts = {word[:n] for word in words for n in range(4, len(word))}
    known = words | starts
    numbers, places = np.unique(promoted, return_inverse=True)
    strings = session.model.tokenizer.batch_decode([[number] for number in numbers.tolist()])
    good = np.array([string.strip().lower() in known for string in strings], bool)
    return good[places.reshape(promoted.shape)].sum(1)


def candidates(
    session: Session, concepts: Sequence[Concept], ranking: Sequence[Score], each: int = 2
) -> list[Candidate]:
    """The ``each`` likeliest features of every concept, best first over all; no feature stands twice."""
    features = [score["feature"] for score in ranking]
    place = 1 - np.arange(len(features)) / len(features)
    activity = strongest(session, concepts)[:, features]
    contrast = activity - (activity.sum(0) - activity) / max(len(concepts) - 1, 1)
    promoted = promoted_ids(session, features, concepts)
    found = []
    for concept, own in zip(concepts, contrast, strict=True):
        number = hits(session, promoted, concept)
        score = (own + A_HIT * np.minimum(number, MOST_HITS)) * (0.25 + place)
        for at in np.lexsort((features, -score))[:each]:
            found.append(Candidate(concept, features[at], float(own[at]), int(number[at]), float(place[at])))
    best: dict[int, Candidate] = {}
    for candidate in sorted(found, key=lambda c: (-c.score, c.feature)):
        best.setdefault(candidate.feature, candidate)
    return list(best.values())
