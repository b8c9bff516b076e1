"""Numbers of steered texts against a plain re-computation, text by text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from saewidgets.analysis import quality
from saewidgets.analysis.quality import Text, first_divergence, repetition, sweet_spot
from saewidgets.analysis.steer import FeatureEdit, Units
from saewidgets.analysis.write import Steerer
from saewidgets.lm.capture import logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.tokens import Tokens
from saewidgets.records import Steered, SweepRow, clamp
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
BARE = Tokens("", (0, 50, 60, 70), True)
OTHER = Tokens("", (0, 50, 60, 70, 71, 72), True)


@pytest.fixture
def steerer(tiny: LanguageModel, tiny_sae: SparseAutoencoder) -> Steerer:
    return Steerer(tiny, tiny_sae, HOOK, Units(np.full(48, 2.0, np.float32)))


def logprobs(steerer: Steerer, text: Text, where: Any) -> np.ndarray:
    ids = torch.tensor([[*text.prompt.ids, *text.made]])
    edit = None
    if text.interventions:
        made = FeatureEdit(
            steerer.sae, [text.interventions], steerer.units, has_bos=True, n_prompt=[len(text.prompt.ids)], where=where
        )
        edit = lambda x: made(x, 0)  # noqa: E731
    logits = logits_with(steerer.model, ids, HOOK, edit)[0].double()  # type: ignore[arg-type]
    return torch.log_softmax(logits, -1).numpy()[len(text.prompt.ids) - 1 : -1]


@pytest.mark.parametrize("where", ["both", "prompt", "generation"])
def test_every_number_is_its_definition(steerer: Steerer, where: Any) -> None:
    texts = [
        Text(BARE, (), (9, 8, 7)),
        Text(BARE, (clamp(3, 4.0),), (9, 8, 7, 100, 101)),
        Text(OTHER, (), (200, 201)),
        Text(BARE, (clamp(20, -2.0), clamp(5, 3.0)), (30,)),
        Text(BARE, (clamp(3, 0.0),), tuple(range(40, 60))),
    ]
    promoted = [5, 17, 250]
    told: list[int] = []
    found = quality.measure(steerer, BARE, texts, promoted, where, done=told.append)
    assert told == [4, 5]
    for text, numbers in zip(texts, found, strict=True):
        p = logprobs(steerer, Text(BARE, (), text.made), where)
        q = logprobs(steerer, text, where)
        kl = float((np.exp(p) * (p - q)).sum(-1).mean())
        loss = -float(np.mean([p[at, token] for at, token in enumerate(text.made)]))
        change = float(np.mean([[q[at, t] - p[at, t] for t in promoted] for at in range(len(text.made))]))
        assert numbers.kl == pytest.approx(kl, abs=1e-4)
        assert numbers.perplexity == pytest.approx(math.exp(loss), rel=1e-4)
        assert numbers.delta_logprob == pytest.approx(change, abs=1e-4)
    assert found[0].kl == 0.0 and found[0].delta_logprob == 0.0
    assert found[1].kl > 0.01 and found[2].kl > 0.001


def test_an_empty_text_has_no_numbers(steerer: Steerer) -> None:
    (found,) = quality.measure(steerer, BARE, [Text(BARE, (clamp(3, 4.0),), ())], [5])
    assert all(math.isnan(number) for number in found)


def test_hooks_are_gone_also_after_an_error(steerer: Steerer, hooks_on: Any) -> None:
    before = hooks_on(steerer.model.module)
    with pytest.raises(IndexError):
        quality.measure(steerer, BARE, [Text(BARE, (clamp(3, 4.0),), (100_000,))])
    quality.measure(steerer, BARE, [Text(BARE, (clamp(3, 4.0),), (10,))])
    assert hooks_on(steerer.model.module) == before


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([], 0.0), ([1, 2], 0.0), ([1, 2, 3], 0.0), ([1, 1, 1, 1], 0.5), ([1, 2, 3, 1, 2, 3], 0.25), ([7] * 12, 0.9)],
)
def test_repetition(ids: list[int], expected: float) -> None:
    assert repetition(ids) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ids", "bare", "expected"),
    [
        ([1, 2], [1, 2], None),
        ([1, 3], [1, 2], 1),
        ([3], [1, 2], 0),
        ([1], [1, 2], 1),
        ([1, 2, 3], [1, 2], 2),
        ([], [], None),
    ],
)
def test_first_divergence(ids: list[int], bare: list[int], expected: int | None) -> None:
    assert first_divergence(ids, bare) == expected


def row(
    kind: Any, strength: float | None, perplexity: float, repeated: float, delta: float, kl: float = 0.0
) -> SweepRow:
    empty = np.zeros(0, bool)
    nothing = Steered("", (), 0, (3,), empty, np.zeros((0, 1)), np.zeros((0, 1)), empty)
    return SweepRow(kind, strength, nothing, kl=kl, perplexity=perplexity, repetition=repeated, delta_logprob=delta)


def test_the_sweet_spot_is_the_largest_effect_that_still_makes_sense() -> None:
    rows = [
        row("bare", None, 3.0, 0.1, 0.0),
        row("steered", -4.0, 3.0, 0.1, 9.0),
        row("steered", 1.0, 4.0, 0.1, 0.5),
        row("steered", 2.0, 6.0, 0.2, 1.5),
        row("steered", 3.0, 6.1, 0.1, 2.5),
        row("steered", 4.0, 5.0, 0.21, 3.5),
        row("random", 5.0, 3.0, 0.1, 4.5),
    ]
    assert sweet_spot(rows) == 2.0
    assert sweet_spot(rows[:2] + rows[4:]) is None
    assert sweet_spot(rows[1:]) is None
    by_kl = [rows[0], row("steered", 1.0, 4.0, 0.1, math.nan, 0.5), row("steered", 2.0, 4.0, 0.1, math.nan, 0.2)]
    assert sweet_spot(by_kl) == 1.0
