"""Capture against the model's own hidden states; early stop; windows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saewidgets.lm import model as lm_model
from saewidgets.lm.capture import capture, capture_many, logits_with, windows
from saewidgets.lm.hooks import blocks_of
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped

IDS = torch.tensor([[0, 50, 60, 70, 80, 90, 100], [0, 9, 8, 7, 6, 5, 4]])


@torch.inference_mode()
def hidden_states(model: LanguageModel, ids: torch.Tensor) -> Any:
    """By Hugging Face itself: [embedding, after block 0, …]; the last one is behind the final norm."""
    return model.module(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states


def test_residuals_are_the_models_own_hidden_states(tiny: LanguageModel) -> None:
    states = hidden_states(tiny, IDS)
    for layer in range(tiny.n_layers):
        assert torch.equal(capture(tiny, IDS, f"blocks.{layer}.hook_resid_pre"), states[layer])
        if layer < tiny.n_layers - 1:
            assert torch.equal(capture(tiny, IDS, f"blocks.{layer}.hook_resid_post"), states[layer + 1])


def test_the_residual_is_the_sum_of_what_was_written(tiny: LanguageModel) -> None:
    for layer in range(tiny.n_layers):
        pre, mid, post, attn, mlp = (
            capture(tiny, IDS, f"blocks.{layer}.hook_{site}")
            for site in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
        )
        torch.testing.assert_close(mid, pre + attn)
        torch.testing.assert_close(post, mid + mlp)


def test_nothing_behind_the_hook_is_run(tiny: LanguageModel) -> None:
    ran: list[int] = []
    handles = [
        block.register_forward_pre_hook(lambda *_, layer=layer: ran.append(layer))
        for layer, block in enumerate(blocks_of(tiny.module))
    ]
    handles.append(tiny.module.get_output_embeddings().register_forward_pre_hook(lambda *_: ran.append(99)))  # type: ignore[operator]
    try:
        capture(tiny, IDS, "blocks.1.hook_resid_post")
        assert ran == [0, 1]
        ran.clear()
        capture(tiny, IDS, "hook_embed")
        assert ran == []
        capture_many(tiny, IDS, ["blocks.1.hook_resid_post", "blocks.0.hook_resid_post"])
        assert ran == [0, 1]  # ended at the deepest
        ran.clear()
        logits_with(tiny, IDS, "", None)
        assert ran == [0, 1, 2, 3, 99]
    finally:
        for handle in handles:
            handle.remove()


def test_capture_many_is_capture_of_each(tiny: LanguageModel) -> None:
    names = ["blocks.3.hook_resid_post", "hook_embed", "blocks.0.attn.hook_z"]
    found = capture_many(tiny, IDS, names)
    assert found.keys() == set(names)
    for name in names:
        assert torch.equal(found[name], capture(tiny, IDS, name))


def test_capture_needs_no_gradient_and_leaves_the_model_alone(
    tiny: LanguageModel, hooks_on: Callable[..., int]
) -> None:
    before, weights = hooks_on(tiny.module), tiny.hash()
    x = capture(tiny, IDS, "blocks.1.hook_resid_post")
    assert not x.requires_grad
    assert hooks_on(tiny.module) == before
    assert tiny.hash() == weights


def test_logits_with_are_the_models_own(tiny: LanguageModel) -> None:
    with torch.inference_mode():
        expected = tiny.module(input_ids=IDS, use_cache=False).logits
    assert torch.equal(logits_with(tiny, IDS, "not looked up", None), expected)


def test_logits_with_a_replaced_residual(tiny: LanguageModel) -> None:
    """Putting another text's residual in gives that text's logits: everything behind the hook reads it."""
    name, other = "blocks.1.hook_resid_post", IDS.flip(0)
    residual = capture(tiny, other, name)
    torch.testing.assert_close(logits_with(tiny, IDS, name, lambda x: residual), logits_with(tiny, other, "", None))


def test_an_edit_keeps_the_models_dtype(new_llama: Callable[..., Any], byte_tokenizer: Any) -> None:
    half = LanguageModel(new_llama().bfloat16(), byte_tokenizer, "half")
    logits = logits_with(half, IDS, "blocks.1.hook_resid_post", lambda x: x.double())
    assert torch.equal(logits, logits_with(half, IDS, "", None))


@given(st.integers(1, 60), st.booleans(), st.integers(2, 9))
def test_windows_hold_every_token_exactly_once(n: int, has_bos: bool, size: int) -> None:
    class Sized:
        window = size

    ids = tuple(range(100, 100 + n))
    found: list[int] = []
    for number, (piece, repeated) in enumerate(windows(Sized(), ids, has_bos)):  # type: ignore[arg-type]
        assert piece.shape[0] == 1 and 1 <= piece.shape[1] <= size
        assert repeated == (1 if has_bos and number else 0)
        assert piece[0, :repeated].tolist() == [100] * repeated  # BOS again, and nothing else
        found += piece[0, repeated:].tolist()
    assert found == list(ids)


def test_windows_stop(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_model, "WINDOW", 4)
    stop = threading.Event()
    assert len(windows(tiny_llama, range(10), True, stop)) == 3
    stop.set()
    with pytest.raises(Stopped):
        windows(tiny_llama, range(10), True, stop)


def test_sizes(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (tiny.n_layers, tiny.d_model, tiny.context, tiny.window) == (4, 32, 192, 192)
    assert tiny.stop_ids == {1}
    monkeypatch.setattr(lm_model, "WINDOW", 16)
    assert tiny.window == 16
    assert tiny.name in repr(tiny)


def test_the_model_hash_changes_with_any_weight(new_llama: Callable[..., Any], byte_tokenizer: Any) -> None:
    model = LanguageModel(new_llama(), byte_tokenizer, "a")
    first = model.hash()
    assert first == LanguageModel(new_llama(), byte_tokenizer, "b").hash()
    assert first != LanguageModel(new_llama(1), byte_tokenizer, "a").hash()
    with torch.no_grad():
        model.module.model.norm.weight[0] += 1e-3  # type: ignore[union-attr, operator, index]
    assert model.hash() != first
