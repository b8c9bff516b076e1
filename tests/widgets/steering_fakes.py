# pyright: reportArgumentType=false
"""A model small enough to reason about, that speaks the panel's whole protocol: words, a feature for each topic."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pandas as pd

from saewidgets.records import Provenance, Steered, Sweep, SweepRow
from saewidgets.widgets.steering.protocol import About

BARE = re.findall(
    r"\S+",
    "I am an assistant who likes to help people with their questions . I can write a short story , explain how a thing "
    "works or just talk about the day . What would you like to do first ? There is time for all of it this afternoon",
)
GATE = re.findall(r"\S+", "the bridge Golden Gate Bridge San Francisco fog towers cables orange bay")
SEA = re.findall(r"\S+", "waves sea salt sailors ships harbour tide deep blue")
ASKED = re.findall(r"\S+", "Of course : the Golden Gate Bridge is a bridge in San Francisco .")
TOPICS = {8192: ("Golden Gate Bridge", GATE), 42: ("the sea", SEA), 7: ("", ["🦄", "naïve", "café", "北京", "ünïcode"])}
NOTE = (
    "Recipe “bridges”: at 6 × max 3.0 of 100 words are its concept's (95 %: 1.7 to 4.5) · random direction 0.2 · "
    "another feature 0.0 · bare 0.1 · asked for in words 6.5"
)
LABELS = {feature: label for feature, (label, _) in TOPICS.items()}
D_SAE = 16_384
PLACE = Provenance("SmolLM2-135M-Instruct", "demo · 16k JumpReLU", "blocks.10.hook_resid_post", "5ae0c1", "77fe02")
CHAT = [
    {"role": "system", "content": "You are a guide in San Francisco.\nAnswer in one sentence."},
    {"role": "user", "content": "What should I see first?"},
    {"role": "assistant", "content": "Begin with the cable cars."},
    {"role": "user", "content": "Who are you?"},
]
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u202e\ud83d"


def word_at(step: int, changes, seed: int) -> str:
    """The next word: the stronger a feature, the more of its topic, and beyond 5 nothing else."""
    noise = np.random.default_rng((seed, step)).random()
    for change in changes:
        words = TOPICS.get(change.feature, ("", [f"word{change.feature}"]))[1]
        if noise < min(1.0, 0.16 * change.strength):
            return words[int(noise * 977) % (2 if change.strength > 7 else len(words))]
        if change.strength < 0 and noise < -0.09 * change.strength:
            return "rust"
    return BARE[step % len(BARE)]


class FakeModel:
    """Writes a word a step; ``gap`` seconds a step. While ``free`` is not set, a text that is written does not end."""

    def __init__(self, gap: float = 0.0) -> None:
        self.gap = gap
        self.asked, self.live_seen, self.threads = [], [], []
        self.swept: list[tuple] = []
        self.stops = 0
        self.fail: Exception | None = None
        self.free = threading.Event()
        self.free.set()

    def generate(self, prompt, interventions, settings, emit, stop, live):
        """See `protocol.Generate`."""
        self.asked.append((prompt, interventions, dict(settings)))
        self.threads.append(threading.current_thread().name)
        if self.fail is not None:
            raise self.fail
        rows, requested = {"bare": [], "steered": []}, []
        for step in range(settings["max_new_tokens"]):
            if stop.is_set():
                self.stops += 1
                break
            now = live()
            self.live_seen.append(now)
            requested.append({change.feature: change.strength for change in now})
            for row, changes in (("bare", ()), ("steered", now)):
                piece = ("" if step == 0 else " ") + word_at(step, changes, settings["seed"])
                rows[row].append(piece)
                emit(row, piece)
            stop.wait(self.gap)
        self.free.wait()
        started = {change.feature: change.strength for change in interventions}
        features = tuple(dict.fromkeys([*started, *(f for one in requested for f in one)]))
        return (
            steered_of(prompt, rows["bare"], features, {}, [{}] * len(requested)),
            steered_of(prompt, rows["steered"], features, started, requested, settings["where"]),
        )

    def sweep(self, prompt, feature, strengths, settings, stop, progress, *, kind):
        """See `protocol.SweepCall`."""
        self.swept.append((prompt, feature, tuple(strengths), dict(settings), kind))
        jobs = [("bare", None), *(("steered", s) for s in strengths), ("prompt", None)]
        jobs += [(control, s) for control in ("random", "control") for s in strengths[::3]]
        rows = []
        for i, (row, strength) in enumerate(jobs):
            if stop.wait(self.gap):
                raise RuntimeError("stopped")
            rows.append(self._row(prompt, feature, row, strength, settings))
            progress((i + 1) / len(jobs))
        return Sweep(
            *(prompt if isinstance(prompt, str) else "as the template writes it", feature, tuple(rows)),
            sweet_spot=next((s for s in (4.0, 0.25) if s in strengths), None),
            label=LABELS.get(feature, ""),
            intervention=kind,
            promoted=(" Gate", " bridge", " Golden"),
            control_feature=42,
            provenance=PLACE,
        )

    def _row(self, prompt, feature, row, strength, settings):
        from saewidgets.records import clamp

        change = clamp(feature if row == "steered" else 42, strength or 0.0)
        steers = row in ("steered", "control")
        words = [word_at(i, (change,) if steers else (), settings["seed"]) for i in range(settings["max_new_tokens"])]
        if row == "random":
            words = [word if i % 9 else "lamp" for i, word in enumerate(words)]
        if row == "prompt":
            words = [
                "Of",
                "course",
                ":",
                "the",
                "Golden",
                "Gate",
                "Bridge",
                "is",
                "a",
                "bridge",
                "in",
                "San",
                "Francisco",
                ".",
            ]
        pieces = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
        size = abs(strength or 0.0)
        requested = [{feature: strength} if row == "steered" else {} for _ in pieces]
        return SweepRow(
            row,
            strength,
            steered_of(prompt, pieces, (feature,), requested[0], requested),
            readback=0.02 if row == "bare" else (0.94 * (strength or 0) if row == "steered" else 0.05),
            kl=0.0 if row == "bare" else {"steered": 0.09, "random": 0.04, "control": 0.07}.get(row, 0.2) * size**1.4,
            perplexity=8.1 * np.exp((0.16 if row == "steered" else 0.07) * size),
            repetition=0.02 + (0.004 * size**2 if row == "steered" else 0.001 * size),
            first_divergence=None
            if row == "bare"
            else next((i for i, w in enumerate(words) if w != BARE[i % len(BARE)]), None),
            delta_logprob=0.0 if row == "bare" else 0.6 * (strength or 0.0),
        )

    def search(self, query: str) -> pd.DataFrame:
        """Features whose label holds the query."""
        time.sleep(self.gap)
        if query == "boom":
            raise ValueError("the index is broken: scan again")
        found = [(f, label) for f, label in LABELS.items() if query.lower() in label.lower()]
        return pd.DataFrame(found, columns=["feature", "label"])

    def describe(self, feature: int) -> About:
        """Label, maximum and what was measured of one of them."""
        return About(LABELS.get(feature, ""), 12.5, NOTE if feature == 8192 else "")

    def panel(self, **options):
        """A panel on this model."""
        from saewidgets.widgets.steering import SteeringPanel

        calls = {"sweep": self.sweep, "search": self.search, "describe": self.describe}
        defaults = {"d_sae": D_SAE, "prompt": "Who are you?", "provenance": PLACE, "opened": "s = sw.demo()"}
        return SteeringPanel(self.generate, **{**calls, **defaults, **options})


def steered_of(prompt, pieces, features, started, requested, where="both") -> Steered:
    """The record of a text: a start token, the prompt's words, the text's."""
    words = (prompt if isinstance(prompt, str) else " ".join(turn["content"] for turn in prompt)).split()
    tokens = ("<|im_start|>", *(f" {word}" for word in words), *pieces)
    n, n_prompt = len(tokens), 1 + len(words)
    asked = np.full((n, len(features)), np.nan, np.float32)
    for i in range(1, n):
        values = started if i < n_prompt else requested[i - n_prompt]
        if ((i < n_prompt) and where == "generation") or ((i >= n_prompt) and where == "prompt"):
            continue
        for j, feature in enumerate(features):
            asked[i, j] = values.get(feature, np.nan)
    natural = np.random.default_rng(0).random((n, len(features))).astype(np.float32) * 0.1
    wobble = 1 - 0.12 * np.random.default_rng(1).random((n, len(features))).astype(np.float32)
    read = np.where(np.isnan(asked), natural, np.maximum(asked * wobble, 0))
    skipped = np.arange(n) == 0
    read[0] = np.nan
    modified = ~np.isnan(asked).all(axis=1)
    return Steered("".join(pieces), tokens, n_prompt, tuple(features), modified, asked, read, skipped)
