"""Rows side by side: the same as one by one, whatever their lengths, ends and interruptions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from saewidgets.lm import sampling
from saewidgets.lm.capture import logits_with
from saewidgets.lm.generate import Loop, generate, generate_rows
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sampling import Sampling
from saewidgets.lm.stream import TextStream
from saewidgets.lm.worker import Stopped

HOOK = "blocks.2.hook_resid_post"
PROMPTS = [(0, 50, 60, 70, 80), (0, 7), tuple(range(30, 50)), (0, 9, 8)]
STEPS = 64


def push(x: Tensor, start: int | Tensor) -> Tensor:
    """An edit that differs with the position in the row's own text."""
    places = (start + torch.arange(x.shape[1])).expand(x.shape[:2]).unsqueeze(-1)
    return x + torch.sin(places * 0.7 + torch.arange(x.shape[-1])) * 3


@pytest.mark.parametrize("edit", [None, push])
def test_rows_of_different_lengths_have_the_logits_of_full_passes(tiny: LanguageModel, edit: Any) -> None:
    """Teacher-forced, cached, padded, 64 steps, against every row alone without a cache."""
    noise = torch.Generator().manual_seed(0)
    texts = [torch.randint(2, 300, (STEPS,), generator=noise).tolist() for _ in PROMPTS]
    loop = Loop(tiny, [tiny.hook(HOOK)] if edit else [], edit)
    with torch.inference_mode():
        found = [loop.begin(PROMPTS)]
        found += [loop.feed([[text[step]] for text in texts]) for step in range(STEPS)]
    together = torch.stack(found, dim=1)
    for row, (prompt, text) in enumerate(zip(PROMPTS, texts, strict=True)):
        alone = logits_with(tiny, torch.tensor([[*prompt, *text]]), HOOK, (lambda x: push(x, 0)) if edit else None)
        torch.testing.assert_close(together[row], alone[0, len(prompt) - 1 :], atol=1e-4, rtol=1e-4)


def margin(model: LanguageModel, prompt: tuple[int, ...], made: list[int]) -> list[float]:
    """By how much each token was the likeliest."""
    logits = logits_with(model, torch.tensor([[*prompt, *made]]), HOOK, None)[0, len(prompt) - 1 :]
    best = logits.topk(2).values
    return (best[:, 0] - best[:, 1]).tolist()


def test_greedy_rows_are_those_written_alone(tiny: LanguageModel) -> None:
    together = generate_rows(tiny, PROMPTS, max_new_tokens=24)
    for prompt, made in zip(PROMPTS, together, strict=True):
        alone = generate(tiny, prompt, max_new_tokens=24)
        sure = next((at for at, gap in enumerate(margin(tiny, prompt, alone)) if gap < 1e-3), 24)
        assert made[:sure] == alone[:sure]
        assert sure == 24 or sure > 0


def test_rows_of_one_seed_meet_the_same_noise(tiny: LanguageModel) -> None:
    hot = [Sampling(2.0, seed=seed) for seed in (3, 3, 4)]
    rows = generate_rows(tiny, [PROMPTS[0]] * 3, sampling=hot, max_new_tokens=15)
    assert rows[0] == rows[1] != rows[2]
    assert rows[0] == generate(tiny, PROMPTS[0], sampling=hot[0], max_new_tokens=15)


def test_a_row_that_ends_leaves_the_others_alone(tiny: LanguageModel) -> None:
    hot = Sampling(1.5, seed=1)
    alone = [generate(tiny, prompt, sampling=hot, max_new_tokens=12) for prompt in PROMPTS[:2]]
    text = tiny.tokenizer.decode(alone[1], skip_special_tokens=True)
    streams = [TextStream(tiny.tokenizer), TextStream(tiny.tokenizer, [text[2:4]])]
    rows = generate_rows(tiny, PROMPTS[:2], sampling=hot, max_new_tokens=12, streams=streams)
    assert rows[0] == alone[0]
    assert rows[1] == alone[1][: len(rows[1])] and len(rows[1]) < 12
    assert streams[1].text == text[: text.find(text[2:4])] and streams[1].ended
    assert streams[0].text == tiny.tokenizer.decode(alone[0], skip_special_tokens=True) and not streams[0].ended


def test_a_stop_token_ends_its_row_alone(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([50, 51, 52, 1, 53])  # row by row, step by step; the second row ends at the second step
    monkeypatch.setattr(Sampling, "pick", lambda self, logits, step: next(calls))
    assert generate_rows(tiny, PROMPTS[:2], max_new_tokens=3) == [[50, 52, 53], [51]]


def test_every_row_ends_where_its_context_does(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampling, "pick", lambda self, logits, step: 50)
    long = tuple([0] + [7] * (tiny.context - 3))
    assert [len(row) for row in generate_rows(tiny, [long, PROMPTS[0]], max_new_tokens=6)] == [2, 6]


def test_nan_logits_are_an_error(tiny: LanguageModel) -> None:
    with pytest.raises(ValueError, match="logits are NaN: use a smaller strength"):
        generate(tiny, PROMPTS[0], hook_name=HOOK, edit=lambda x, start: x * float("nan"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_are_gone_after_any_end(
    tiny: LanguageModel, hooks_on: Callable[[torch.nn.Module], int], error: type[BaseException]
) -> None:
    before = hooks_on(tiny.module)

    def edit(x: Tensor, start: int | Tensor) -> Tensor:
        if not isinstance(start, Tensor) or bool((start > 0).all()):
            raise error
        return x

    with pytest.raises(error):
        generate_rows(tiny, PROMPTS, hook_names=(HOOK, ""), edit=edit)

    def emit(piece: str) -> None:
        raise error

    streams = [TextStream(tiny.tokenizer, (), emit)]
    with pytest.raises(error):
        generate_rows(tiny, PROMPTS[:1], hook_names=(HOOK, ""), edit=push, streams=streams, sampling=Sampling(1.0))
    assert hooks_on(tiny.module) == before


def test_no_hook_is_left_when_the_second_cannot_be_set(tiny: LanguageModel, hooks_on: Any) -> None:
    before = hooks_on(tiny.module)
    with pytest.raises(ValueError, match="no hook"):
        generate_rows(tiny, PROMPTS, hook_names=(HOOK, "blocks.9.hook_mlp_out"), edit=push)
    assert hooks_on(tiny.module) == before


def test_stop_ends_it_within_a_token(tiny: LanguageModel, hooks_on: Callable[[torch.nn.Module], int]) -> None:
    before, stop, steps = hooks_on(tiny.module), threading.Event(), []

    def stepped(n: int) -> None:
        steps.append(n)
        if n == 3:
            stop.set()

    with pytest.raises(Stopped):
        generate_rows(tiny, PROMPTS, hook_names=(HOOK, ""), edit=push, stop=stop, stepped=stepped)
    assert steps == [1, 2, 3]
    assert hooks_on(tiny.module) == before


def test_top_p_of_a_large_vocabulary_is_that_of_a_full_sort() -> None:
    noise = torch.Generator().manual_seed(0)
    for spread in (0.01, 1.0, 8.0):
        logits = (torch.randn(5000, generator=noise) * spread).round(decimals=1)  # with ties
        for top_p in (0.1, 0.6, 0.95, 0.999):
            ordered, order = logits.double().sort(descending=True, stable=True)
            mass = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            # Where the mass comes within rounding of top_p, one token more or less is right.
            fewest, most = (set(order[mass < top_p + by].tolist()) for by in (-1e-5, 1e-5))
            kept = set(sampling._nucleus(logits, top_p).tolist())
            assert fewest <= kept <= most
            assert {Sampling(1.0, top_p, seed).pick(logits, 0) for seed in range(40)} <= kept
