"""Our generation loop against Hugging Face's, and its cache against the full forward pass."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from saewidgets.lm import generate as lm_generate
from saewidgets.lm.capture import logits_with
from saewidgets.lm.generate import Sampling, generate
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped

PROMPT = (0, 50, 60, 70, 80)
HOOK = "blocks.2.hook_resid_post"


def push(x: Tensor, start: int) -> Tensor:
    """A strong edit of every position, that differs with the position."""
    places = torch.arange(start, start + x.shape[1]).unsqueeze(-1)
    return x + torch.sin(places * 0.7 + torch.arange(x.shape[-1])) * 3


@pytest.mark.parametrize("prompt", [PROMPT, (0,), (9, 8), tuple(range(30, 90))])
def test_greedy_is_hugging_faces_greedy(tiny: LanguageModel, prompt: tuple[int, ...]) -> None:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = tiny.module.generate(  # type: ignore[operator]
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40, pad_token_id=1
        )
    expected = out[0, len(prompt) :].tolist()
    expected = expected[: expected.index(1)] if 1 in expected else expected
    assert generate(tiny, prompt, max_new_tokens=40) == expected


@pytest.mark.parametrize("edit", [None, push])
def test_the_cache_gives_the_logits_of_the_full_forward_pass(tiny: LanguageModel, edit: Any) -> None:
    """The same text forced through the loop token by token: length-1 steps are edited like the prompt."""
    text = [*PROMPT, 12, 200, 33, 7, 150]
    full = logits_with(tiny, torch.tensor([text]), HOOK, None if edit is None else lambda x: edit(x, 0))[0]
    loop = lm_generate.Loop(tiny, [] if edit is None else [tiny.hook(HOOK)], edit)
    with torch.inference_mode():
        found = [loop.feed([list(PROMPT)])[0], *(loop.feed([[token]])[0] for token in text[len(PROMPT) :])]
    torch.testing.assert_close(torch.stack(found), full[len(PROMPT) - 1 :], atol=1e-4, rtol=1e-4)


def test_an_edit_changes_every_generated_token_as_without_a_cache(tiny: LanguageModel) -> None:
    expected: list[int] = []
    for _ in range(12):
        logits = logits_with(tiny, torch.tensor([[*PROMPT, *expected]]), HOOK, lambda x: push(x, 0))[0, -1]
        if int(logits.argmax()) == 1:
            break
        expected.append(int(logits.argmax()))
    found = generate(tiny, PROMPT, hook_name=HOOK, edit=push, max_new_tokens=12)
    assert found == expected
    assert found != generate(tiny, PROMPT, max_new_tokens=12)


def test_the_edit_sees_every_position_once_with_its_start(tiny: LanguageModel) -> None:
    seen: list[tuple[int, int]] = []

    def watch(x: Tensor, start: int) -> Tensor:
        seen.append((start, x.shape[1]))
        return x

    made = generate(tiny, PROMPT, hook_name=HOOK, edit=watch, max_new_tokens=4)
    assert seen == [(0, 5), *((5 + i, 1) for i in range(len(seen) - 1))]
    assert len(seen) in (len(made), len(made) + 1)


def test_without_an_edit_nothing_is_hooked_and_every_bit_is_the_bare_models(
    tiny: LanguageModel, hooks_on: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import DynamicCache

    logits: list[Tensor] = []
    counts: list[int] = []
    pick = Sampling.pick

    def spy(self: Sampling, values: Tensor, step: int) -> int:
        logits.append(values.clone())
        return pick(self, values, step)

    monkeypatch.setattr(Sampling, "pick", spy)
    watching = tiny.module.get_input_embeddings().register_forward_hook(lambda *_: counts.append(hooks_on(tiny.module)))  # type: ignore[operator]
    before = hooks_on(tiny.module)
    made = generate(tiny, PROMPT, max_new_tokens=6, hook_name=HOOK)
    watching.remove()
    assert set(counts) == {before}
    cache, feed = DynamicCache(config=tiny.config), list(PROMPT)
    for step, found in enumerate(logits):
        with torch.inference_mode():
            out = tiny.module(input_ids=torch.tensor([feed]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        assert torch.equal(out.logits[0, -1], found)
        feed = made[step : step + 1]


# ---- sampling ----------------------------------------------------------------------------------------------------


def test_greedy_takes_the_first_of_equals() -> None:
    assert Sampling().pick(torch.tensor([0.0, 2.0, 2.0]), 0) == 1


def test_the_same_seed_and_step_meet_the_same_noise(tiny: LanguageModel) -> None:
    hot = Sampling(temperature=2.0, seed=3)
    logits = torch.randn(500, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    first = [hot.pick(logits, step) for step in range(20)]
    torch.manual_seed(2)
    assert [hot.pick(logits, step) for step in range(20)] == first
    assert len(set(first)) > 10
    assert [Sampling(2.0, seed=4).pick(logits, step) for step in range(20)] != first
    once = generate(tiny, PROMPT, sampling=hot, max_new_tokens=15)
    assert generate(tiny, PROMPT, sampling=hot, max_new_tokens=15) == once
    assert generate(tiny, PROMPT, sampling=Sampling(2.0, seed=5), max_new_tokens=15) != once


def test_sampling_leaves_the_global_generator_alone(tiny: LanguageModel) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    generate(tiny, PROMPT, sampling=Sampling(1.0), max_new_tokens=5)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_those_of_the_softmax(temperature: float) -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5, -30.0])
    draws = 3000
    counts = torch.zeros(6)
    for seed in range(draws):
        counts[Sampling(temperature, seed=seed).pick(logits, seed % 7)] += 1
    expected = (logits / temperature).softmax(-1) * draws
    assert counts[5] == 0
    chi_square = float(((counts - expected).square() / expected)[:5].sum())
    assert chi_square < 18.5  # 0.1 % point of chi-square with 4 degrees of freedom


def test_steps_are_independent_draws_too() -> None:
    logits = torch.tensor([math.log(3.0), 0.0])
    picks = torch.tensor([float(Sampling(1.0, seed=1).pick(logits, step)) for step in range(2000)])
    assert abs(float(picks.mean()) - 0.25) < 0.04
    assert abs(float(torch.corrcoef(torch.stack([picks[1:], picks[:-1]]))[0, 1])) < 0.08


@pytest.mark.parametrize(
    ("top_p", "kept"), [(1.0, {0, 1, 2, 3}), (0.85, {0, 1, 2}), (0.6, {0, 1}), (0.5, {0}), (0.01, {0})]
)
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float, kept: set[int]) -> None:
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()[torch.tensor([2, 0, 3, 1])]
    place = {1: 0, 3: 1, 0: 2, 2: 3}  # position in logits → rank, the lower position first among equals
    picked = {place[Sampling(1.0, top_p, seed).pick(logits, 0)] for seed in range(300)}
    assert picked == kept


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"temperature": float("inf")}])
def test_an_impossible_temperature(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="temperature must be"):
        Sampling(**wrong)


@pytest.mark.parametrize("top_p", [0, -0.1, 1.1, float("nan")])
def test_an_impossible_top_p(top_p: float) -> None:
    with pytest.raises(ValueError, match="top_p must be"):
        Sampling(1.0, top_p)


# ---- ends --------------------------------------------------------------------------------------------------------


def test_a_stop_token_ends_it_and_is_not_kept(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    free = generate(tiny, PROMPT, max_new_tokens=8)
    monkeypatch.setattr(Sampling, "pick", lambda self, logits, step: [50, 60, 1, 70][step])
    assert generate(tiny, PROMPT, max_new_tokens=8) == [50, 60]
    assert len(free) <= 8


def test_it_ends_where_the_context_does(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampling, "pick", lambda self, logits, step: 50)
    prompt = tuple([0] + [7] * (tiny.context - 4))
    assert generate(tiny, prompt, max_new_tokens=60) == [50] * 3
    assert generate(tiny, prompt, max_new_tokens=2) == [50] * 2


@pytest.mark.parametrize("extra", [0, 1, 50])
def test_a_prompt_over_the_context_is_an_error(tiny: LanguageModel, extra: int) -> None:
    with pytest.raises(ValueError, match=f"has {192 + extra} tokens, but the model's context holds 192"):
        generate(tiny, tuple([0] * (192 + extra)))


@pytest.mark.parametrize("n", [0, -1])
def test_no_new_tokens_is_an_error(tiny: LanguageModel, n: int) -> None:
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1"):
        generate(tiny, PROMPT, max_new_tokens=n)


def test_an_unknown_hook_is_an_error_before_anything_runs(tiny: LanguageModel) -> None:
    with pytest.raises(ValueError, match="no hook"):
        generate(tiny, PROMPT, hook_name="nowhere", edit=push)


def test_stop_ends_it_and_takes_the_hook_away(tiny: LanguageModel, hooks_on: Callable[..., int]) -> None:
    before, stop, steps = hooks_on(tiny.module), threading.Event(), 0

    def edit(x: Tensor, start: int) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == 3:
            stop.set()
        return x

    with pytest.raises(Stopped):
        generate(tiny, PROMPT, hook_name=HOOK, edit=edit, max_new_tokens=50, stop=stop)
    assert steps == 3
    assert hooks_on(tiny.module) == before


def test_an_exception_inside_an_edit_takes_the_hook_away(tiny: LanguageModel, hooks_on: Callable[..., int]) -> None:
    before = hooks_on(tiny.module)

    def edit(x: Tensor, start: int) -> Tensor:
        if start:
            raise RuntimeError("boom")
        return x

    with pytest.raises(RuntimeError, match="boom"):
        generate(tiny, PROMPT, hook_name=HOOK, edit=edit)
    assert hooks_on(tiny.module) == before
    assert generate(tiny, PROMPT, max_new_tokens=3) == generate(tiny, PROMPT, max_new_tokens=3)
