"""Plausible feature cards without a model or a corpus, and what answers their questions."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pandas as pd
from synthetic import tokens_of

from saewidgets.records import (
    INTERVALS,
    Example,
    FeatureCardData,
    FeatureList,
    FeatureStats,
    Neuron,
    Provenance,
    Related,
    TokenShare,
    TokenWeight,
)

D_SAE = 16_384
N_TOKENS = 2_104_332
SILENT = 5
"""A feature that never fires."""
TEXTS = (
    "The Golden Gate Bridge opened in May 1937, and for a generation it was the longest suspension bridge in the "
    "world. Fog rolls in from the Pacific most summer evenings and swallows the towers, so that drivers from San "
    "Francisco see only the first few cables of the bridge they are about to cross.",
    "Engineers painted the bridge International Orange because the colour is easy to see in the mist; the Navy had "
    "asked for black and yellow stripes.\n\nA second bridge, farther up the river, was never built.",
    "“I never tire of it,” she said. “Every morning the bridge looks as if it had been drawn in the night.” He "
    "laughed, put down his cup, and looked out over the harbour for a long while before he answered her.",
    "The old stone bridge at Ronda spans a gorge of a hundred metres. In June 1808 its parapets were damaged, and "
    "repairs took nineteen years; the architect himself is said to have fallen while inspecting the arches.",
    "def cross(bridge, walkers):\n\tfor walker in walkers:\n\t\tif bridge.load(walker) > LIMIT:\n\t\t\traise "
    "ValueError('too heavy')\n\treturn bridge",
    "On a summer night in Paris the bridges are full of people who have nowhere to be. Somebody plays an accordion, "
    "badly; somebody else dances to it all the same, and the river carries the yellow lights down to the sea.",
    "Mix the flour, the salt and a little cold water; knead for ten minutes. The dough should be smooth and just "
    "slightly sticky. Let it rest overnight in a cool place, then fold it three times before you shape the loaf.",
    "The tenant shall give written notice of thirty days before the end of the term. Failing such notice, this "
    "agreement renews itself for one further year on the conditions set out in the second section above.",
)
TOPICS = (
    ("bridges and crossings", r"[Bb]ridge|span|cross|suspension|arches", (" bridge", " span", " river", " tower")),
    ("dates and years", r"\d|May|June|years|night", (" 1937", " January", "th", " century")),
    ("places in Europe and California", r"San|Francisco|Pacific|Golden|Paris|Ronda", (" City", " Bay", ",", " coast")),
    ("colours", r"Orange|black|yellow|colour|painted", (" stripes", " paint", " hue", "ish")),
    ("", r"the|The\b|a\b", (" same", " first", " other", " whole")),
    ("speech in quotation marks", r"“|”|said|answered", ("”", " she", " he", " replied")),
    ("code that loops or raises", r"for|if|raise|return|def|walker", (" in", ":", " not", " range")),
    ("contracts and obligations", r"tenant|notice|agreement|shall|term", (" party", " clause", " hereby", " days")),
    ("kneading dough", r"flour|salt|dough|knead|loaf|fold", (" oven", " bake", " yeast", " bread")),
    ("weather and visibility", r"Fog|mist|summer|see\b|swallows", (" haze", " cloud", " rain", " clear")),
)


def topic(feature: int) -> tuple[str, str, tuple[str, ...]]:
    """What a feature is about."""
    return TOPICS[feature % len(TOPICS)]


def make_example(feature: int, text: str, peak: float | None = None, interval: int = 0) -> Example:
    """A text and where a feature fires on it; with ``peak``, so strongly at its strongest token."""
    tokens = ["<|endoftext|>", *tokens_of(text)]
    rng = np.random.default_rng([feature, len(text), interval])
    fires = np.array([bool(re.search(topic(feature)[1], token)) for token in tokens])
    values = np.where(fires, rng.uniform(0.35, 1.0, len(tokens)), 0).astype(np.float32)
    values[0] = 0
    if peak is not None and values.max() > 0:
        values *= np.float32(peak) / values.max()
    else:
        values *= 9
    skipped = np.arange(len(tokens)) == 0
    ids = np.arange(len(tokens))
    return Example(tokens, values, int(values.argmax()), interval, ids, skipped, source=f"book {len(text) % 90}")


def make_card(feature: int = 10, **changes) -> FeatureCardData:
    """The card of a feature; a never firing one for `SILENT`."""
    rng = np.random.default_rng(feature)
    label, _, words = ("", "", topic(feature)[2]) if feature == SILENT else topic(feature)
    maximum = 0.0 if feature == SILENT else float(rng.uniform(6, 24))
    others = rng.choice(D_SAE, 16, replace=False)
    labelled = [Related(int(f), float(v), topic(int(f))[0]) for f, v in zip(others, falling(rng, 16), strict=True)]
    up = [TokenWeight(word, 2.4 * v) for word, v in zip(10 * words, falling(rng, 10), strict=False)]
    down = [
        TokenWeight(word, -1.1 * v) for word, v in zip((" Kim", "_{", " hers", "\n\n"), falling(rng, 4), strict=True)
    ]
    neurons = zip(rng.choice(1536, 6, replace=False), (0.71, 0.52, -0.44, 0.3, 0.21, 0.2), strict=True)
    firing_only = {
        "top": top_examples(feature, maximum),
        "intervals": interval_examples(feature, maximum),
        "tokens": [TokenShare(word, 0.3 / (i + 1), 0.0004) for i, word in enumerate(words)],
        "neurons": [Neuron(int(neuron), r) for neuron, r in neurons],
        "coactive": labelled[:8],
    }
    always = {
        "stats": make_stats(feature, maximum, rng, label),
        "promoted": up,
        "suppressed": down,
        "neighbors": labelled[8:],
        "provenance": Provenance("SmolLM2-135M-Instruct", "demo-sae-16k", "blocks.10.hook_resid_post", "5ae0", "30de1"),
    }
    return FeatureCardData(**{**always, **(firing_only if maximum else {}), **changes})


def make_stats(feature: int, maximum: float, rng: np.random.Generator, label: str) -> FeatureStats:
    """Counts in 64 bins of equal ratio, most of them weak."""
    edges = np.geomspace(1e-3, 32, 65)
    middle = np.sqrt(edges[1:] * edges[:-1])
    weight = middle**0.6 * np.exp(-middle / max(maximum / 7, 1e-9)) * (edges[:-1] < maximum)
    weight[(middle > 0.5 * maximum) & (edges[:-1] < maximum)] += 0.02
    count = int(rng.integers(400, 40_000)) if maximum else 0
    histogram = np.floor(weight / weight.sum() * count).astype(np.int64) if count else np.zeros(64, np.int64)
    score = float(rng.uniform(0.5, 1)) if label else float("nan")
    mean = float((histogram * middle).sum() / max(1, histogram.sum()))
    source = "automatic" if label else ""
    return FeatureStats(feature, int(histogram.sum()), N_TOKENS, maximum, mean, histogram, edges, label, score, source)


def firing(feature: int) -> list[str]:
    """The texts a feature fires on."""
    return [text for text in TEXTS if re.search(topic(feature)[1], text)]


def top_examples(feature: int, maximum: float) -> list[Example]:
    texts = firing(feature)
    starts = [text[13 * (i // len(texts)) :] for i, text in ((i, texts[i % len(texts)]) for i in range(20))]
    made = [make_example(feature, text, maximum * 0.985**i) for i, text in enumerate(starts)]
    return [example for example in made if example.value > 0]


def interval_examples(feature: int, maximum: float) -> list[Example]:
    texts = firing(feature)
    made = []
    for interval in range(1, INTERVALS + 1):
        for i in range(4):
            text = texts[(interval + i) % len(texts)]
            made.append(make_example(feature, text, maximum * (interval - 0.2 * i - 0.1) / INTERVALS, interval))
    return [example for example in made if example.value > 0]


def falling(rng: np.random.Generator, n: int) -> np.ndarray:
    return -np.sort(-rng.uniform(0.15, 0.95, n))


def make_list(n: int = D_SAE) -> FeatureList:
    """Every feature in a few numbers."""
    rng = np.random.default_rng(0)
    density = 10 ** rng.normal(-3.4, 0.8, n)
    maximum = rng.uniform(3, 30, n).astype(np.float32)
    silent = rng.random(n) < 0.03
    silent[SILENT] = True
    silent[:5] = silent[6:40] = False
    density, maximum = np.where(silent, 0, density.clip(1e-6, 0.6)), np.where(silent, 0, maximum)
    labels = ["" if silent[f] else topic(f)[0] for f in range(n)]
    scores = np.array([rng.uniform(0.5, 1) if label else np.nan for label in labels], np.float32)
    return FeatureList(density, maximum.astype(np.float32), labels, scores)


class Source:
    """Answers a card's questions from the synthetic features, and remembers what it was asked."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.loaded, self.tested, self.ablated, self.searched = [], [], [], []
        self.labels: dict[int, str] = {}

    def load(self, feature: int, stop: threading.Event) -> FeatureCardData:
        self.loaded.append(feature)
        stop.wait(self.delay)
        card = make_card(feature)
        if feature not in self.labels:
            return card
        stats = card.stats
        stats = FeatureStats(
            feature,
            stats.count,
            stats.n_tokens,
            stats.maximum,
            stats.mean,
            stats.histogram,
            stats.edges,
            self.labels[feature],
            float("nan"),
            "you",
        )
        return make_card(feature, stats=stats)

    def test(self, text: str, feature: int, stop: threading.Event) -> Example:
        self.tested.append((text, feature))
        stop.wait(self.delay)
        if "refuse" in text:
            raise ValueError("the sentence is longer than the model's context of 2048 tokens")
        return make_example(feature, text)

    def ablate(self, example: Example, feature: int, stop: threading.Event) -> np.ndarray:
        self.ablated.append((example.str_tokens, feature))
        stop.wait(self.delay)
        rng = np.random.default_rng(len(example.str_tokens))
        effect = rng.normal(0, 0.06, len(example.str_tokens))
        effect[1:] += 0.12 * example.activations[:-1] * rng.uniform(-0.4, 1, len(effect) - 1)
        effect[0] = np.nan
        return effect.astype(np.float32)

    def search(self, query: str, stop: threading.Event) -> pd.DataFrame:
        self.searched.append(query)
        words = query.strip().lower()
        found = [f for f in range(200) if any(words in word for word in topic(f)[2]) or words in topic(f)[0]]
        return pd.DataFrame(
            {"feature": found, "label": "", "score": 1.0, "why": [f"promotes “{words}”" for _ in found]}
        )

    def set_label(self, feature: int, text: str) -> None:
        if "refuse" in text:
            raise OSError("labels could not be written: the folder is read-only")
        time.sleep(self.delay)
        if text:
            self.labels[feature] = text
        else:
            self.labels.pop(feature, None)

    def calls(self) -> dict:
        return {name: getattr(self, name) for name in ("load", "test", "ablate", "search", "set_label")}
