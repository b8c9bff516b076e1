"""How often a text uses a concept's words, and how sure one can be of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def counted_words(words: Sequence[str], promoted: Iterable[str]) -> tuple[str, ...]:
    """A concept's words without those a feature promotes: equal to a promoted token, or beginning with one.

    A token of one or two letters begins too many words to strike them all; it strikes only itself.
    """
    tokens = {token.strip().lower() for token in promoted} - {""}
    long = tuple(token for token in tokens if len(token) > 2)

    def pushed(word: str) -> bool:
        return any(
            part in tokens or part.rstrip("s") in tokens or part.startswith(long) for part in word.lower().split()
        )

    return tuple(word for word in words if not pushed(word))


def count(text: str, words: Sequence[str]) -> tuple[int, int]:
    """How many of a text's words are among ``words`` (a plural -s aside), and how many words it has.

    Words are compared in lower case unless the list itself is in capitals; marks (``{``, ``##``) are looked for as
    they stand. A phrase counts once.
    """
    capitals = all(word == word.upper() for word in words if any(c.isalpha() for c in word)) and any(
        word != word.lower() for word in words
    )
    text = text if capitals else text.lower()
    found = sum(len(_pattern(word).findall(text)) for word in words)
    return found, len(re.findall(r"\S+", text))


@functools.cache
def _pattern(word: str) -> re.Pattern[str]:
    front = r"(?<!\w)" if re.match(r"\w", word) else ""
    back = r"s?(?!\w)" if re.search(r"\w$", word) else ""
    return re.compile(front + re.escape(word) + back)


def rate(texts: Sequence[Sequence[str]], words: Sequence[str], seed: int = 0) -> Interval:
    """Concept words a hundred words over ``texts[prompt][seed]``, with a percentile bootstrap over prompts.

    Texts of one prompt are not independent: prompts are drawn, each with all its texts.
    """
    counts = np.array([np.sum([count(text, words) for text in own], axis=0) for own in texts], float)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    sums = counts[drawn].sum(1)
    low, high = np.quantile(_percent(sums), (0.025, 0.975))
    return Interval(float(_percent(counts.sum(0))), float(low), float(high))


def _percent(counts: np.ndarray) -> np.ndarray:
    return 100.0 * counts[..., 0] / np.maximum(counts[..., 1], 1)


def share(texts: Sequence[Sequence[str]], words: Sequence[str]) -> Interval:
    """Share of texts with at least one concept word, with Wilson's interval (Wilson 1927)."""
    hits = [count(text, words)[0] > 0 for own in texts for text in own]
    n, p, z = len(hits), float(np.mean(hits)), 1.959964
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return Interval(p, centre - half, centre + half)


def passes(steered: Interval, controls: Sequence[Interval], factor: float = 3.0) -> bool:
    """Whether an effect is ``factor`` times every control's, and their intervals are apart."""
    return all(steered.value >= factor * control.value and steered.low > control.high for control in controls)
