"""A prompt begun where the last one's kept blocks end: the same text, fewer blocks, the model unharmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from saewidgets.lm.below import Below
from saewidgets.lm.generate import Loop, generate_rows
from saewidgets.lm.hooks import blocks_of
from saewidgets.lm.model import LanguageModel

PROMPT = (0, 50, 60, 70, 80)
HOOKS = ["blocks.2.hook_resid_post", "blocks.2.hook_resid_pre", "blocks.2.hook_mlp_out", "blocks.1.attn.hook_z"]


def push(x: Tensor, start: int) -> Tensor:
    return x + torch.sin(torch.arange(x.shape[-1]) * 1.0) * 3


@pytest.fixture
def calls(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which blocks compute, in turn."""
    found: list[int] = []
    for number, block in enumerate(blocks_of(tiny.module)):
        forward = type(block).forward

        def counted(*args: Any, block: Any = block, number: int = number, forward: Any = forward, **more: Any) -> Any:
            found.append(number)
            return forward(block, *args, **more)

        monkeypatch.setitem(block.__dict__, "forward", counted)
    return found


@pytest.mark.parametrize("hook_name", HOOKS)
@torch.inference_mode()
def test_logits_of_a_text_are_those_of_a_whole_pass(tiny: LanguageModel, hook_name: str) -> None:
    """Teacher-forced, the prompt and what follows it; kept by a bare pass, begun again by an edited one."""
    below, text = Below(tiny, hook_name), [12, 200, 33, 7, 150]

    def logits(edit: Any, below: Below | None, rows: int = 1) -> Tensor:
        loop = Loop(tiny, [tiny.hook(hook_name)] if edit else [], edit)
        first = loop.begin([PROMPT] * rows, below)
        return torch.stack([first, *(loop.feed([[token]] * rows) for token in text)])

    torch.testing.assert_close(logits(None, below, 2), logits(None, None, 2), atol=0, rtol=0)
    for rows in (1, 3):
        found = logits(push, below, rows)
        torch.testing.assert_close(found, logits(push, None, rows), atol=1e-4, rtol=1e-4)
        assert (found - logits(None, None, rows)).abs().max() > 0.01
    torch.testing.assert_close(logits(None, below), logits(None, None), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("hook_name", HOOKS[:2])
def test_only_the_blocks_behind_run_again(tiny: LanguageModel, calls: list[int], hook_name: str) -> None:
    below, first = Below(tiny, hook_name), 2 + hook_name.endswith("post")
    every = list(range(tiny.n_layers))
    for prompt, expected in (
        (PROMPT, every), (PROMPT, every[first:]), (PROMPT[:3], every), (PROMPT[:3], every[first:]), (PROMPT, every)
    ):  # fmt: skip
        calls.clear()
        generate_rows(tiny, [prompt], hook_names=(hook_name, ""), edit=push, max_new_tokens=1, below=below)
        assert calls == expected
    calls.clear()
    generate_rows(tiny, [PROMPT], hook_names=(hook_name, ""), edit=push, max_new_tokens=3, below=below)
    assert calls == every[first:] + 2 * every


def test_recorders_that_transformers_leaves_behind_do_not_count(tiny: LanguageModel, calls: list[int]) -> None:
    with torch.inference_mode():
        tiny.module(torch.tensor([PROMPT]), output_hidden_states=True)
    below = Below(tiny, HOOKS[0])
    for expected in (list(range(tiny.n_layers)), [3]):
        calls.clear()
        generate_rows(tiny, [PROMPT], hook_names=(HOOKS[0], ""), edit=push, max_new_tokens=1, below=below)
        assert calls == expected


def test_the_first_block_has_nothing_below(tiny: LanguageModel, calls: list[int]) -> None:
    for hook_name in ("hook_embed", "blocks.0.hook_resid_pre", "blocks.0.hook_mlp_out"):
        below = Below(tiny, hook_name)
        for _ in range(2):
            calls.clear()
            generate_rows(tiny, [PROMPT], hook_names=(hook_name, ""), edit=push, max_new_tokens=1, below=below)
            assert calls == list(range(tiny.n_layers))


def test_rows_of_different_prompts_are_run_whole(tiny: LanguageModel) -> None:
    below, prompts = Below(tiny, HOOKS[0]), [PROMPT, PROMPT[:3]]
    bare = generate_rows(tiny, prompts, max_new_tokens=5)
    for _ in range(2):
        assert generate_rows(tiny, prompts, max_new_tokens=5, below=below) == bare


def test_a_hook_of_the_users_own_is_obeyed(tiny: LanguageModel, calls: list[int]) -> None:
    """Whatever hangs in a block below must run, and what it changes counts."""
    below = Below(tiny, HOOKS[0])
    bare = generate_rows(tiny, [PROMPT], hook_names=(HOOKS[0], ""), edit=push, max_new_tokens=8, below=below)
    for name in ("hook_embed", "blocks.0.hook_mlp_out", HOOKS[0]):
        handle = tiny.hook(name).attach(lambda x: x * 3)
        calls.clear()
        found = generate_rows(tiny, [PROMPT], hook_names=(HOOKS[0], ""), edit=push, max_new_tokens=8, below=below)
        alone = generate_rows(tiny, [PROMPT], hook_names=(HOOKS[0], ""), edit=push, max_new_tokens=8)
        handle.remove()
        assert found == alone and calls[: tiny.n_layers] == list(range(tiny.n_layers))
    assert generate_rows(tiny, [PROMPT], hook_names=(HOOKS[0], ""), edit=push, max_new_tokens=8, below=below) == bare


@pytest.mark.parametrize("known", [False, True])
def test_a_pass_that_fails_leaves_the_model_as_it_was(
    tiny: LanguageModel, hooks_on: Callable[..., int], known: bool
) -> None:
    below, hooks_before = Below(tiny, HOOKS[0]), hooks_on(tiny.module)
    bare = generate_rows(tiny, [PROMPT], max_new_tokens=8)
    if known:
        generate_rows(tiny, [PROMPT], max_new_tokens=1, below=below)

    def fail(x: Tensor, start: int) -> Tensor:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        generate_rows(tiny, [PROMPT], hook_names=(HOOKS[0], ""), edit=fail, max_new_tokens=1, below=below)
    assert hooks_on(tiny.module) == hooks_before
    assert not any("forward" in block.__dict__ for block in blocks_of(tiny.module))
    assert generate_rows(tiny, [PROMPT], max_new_tokens=8, below=below) == bare


def test_what_was_kept_of_other_weights_types_is_not_used(tiny: LanguageModel) -> None:
    below = Below(tiny, HOOKS[0])
    generate_rows(tiny, [PROMPT], max_new_tokens=1, below=below)
    tiny.module.double()
    try:
        assert generate_rows(tiny, [PROMPT], max_new_tokens=4, below=below) == generate_rows(
            tiny, [PROMPT], max_new_tokens=4
        )
    finally:
        tiny.module.float()


@pytest.mark.parametrize("below_the_blocks", [False, True])
def test_what_was_kept_of_other_weights_is_not_used(tiny: LanguageModel, below_the_blocks: bool) -> None:
    below = Below(tiny, HOOKS[0])
    before = generate_rows(tiny, [PROMPT], below=below, max_new_tokens=8)
    place = tiny.module.get_input_embeddings() if below_the_blocks else blocks_of(tiny.module)[1]
    weight = next(w for w in place.parameters() if w.dim() == 2)
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.copy_(kept.flip(0))
        changed = generate_rows(tiny, [PROMPT], below=below, max_new_tokens=8)
        assert changed == generate_rows(tiny, [PROMPT], max_new_tokens=8) != before
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert generate_rows(tiny, [PROMPT], below=below, max_new_tokens=8) == before


def test_sliding_windows_are_run_whole(byte_tokenizer: Any) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(byte_tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=4, max_position_embeddings=64,
    )  # fmt: skip
    model, prompts = LanguageModel(Gemma2ForCausalLM(config), byte_tokenizer, "gemma"), [tuple(range(10, 20))]
    below, bare = Below(model, HOOKS[0]), generate_rows(model, prompts, max_new_tokens=8)
    for _ in range(2):
        assert generate_rows(model, prompts, max_new_tokens=8, below=below) == bare


@torch.inference_mode()
def test_blocks_that_give_tuples(byte_tokenizer: Any) -> None:
    from transformers import GPTJConfig, GPTJForCausalLM

    torch.manual_seed(0)
    config = GPTJConfig(vocab_size=len(byte_tokenizer), n_positions=64, n_embd=32, n_layer=4, n_head=4, rotary_dim=4)
    model = LanguageModel(GPTJForCausalLM(config), byte_tokenizer, "gptj")
    assert isinstance(blocks_of(model.module)[0](torch.zeros(1, 2, 32), position_ids=torch.arange(2)[None]), tuple)
    below, found = Below(model, HOOKS[0]), []
    for kept in (None, below, below):
        loop = Loop(model, [model.hook(HOOKS[0])], push)
        found.append(torch.stack([loop.begin([PROMPT], kept), loop.feed([[12]]), loop.feed([[33]])]))
    torch.testing.assert_close(found[1], found[0], atol=0, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=1e-4, rtol=1e-4)
    assert below._kept is not None and below._kept.packed
