"""Capture against the model's own hidden states; early stop; windows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saewidgets.lm import model as lm_model
from saewidgets.lm.capture import capture, capture_many, logits_with, windows
from saewidgets.lm.generate import generate
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


def at_once(*jobs: Callable[[threading.Event], None]) -> None:
    """Run jobs in threads that begin together, switched as often as Python can; the first error is raised.

    The first job that ends sets the event the others are given.
    """
    barrier, errors, over = threading.Barrier(len(jobs)), [], threading.Event()

    def run(job: Callable[[threading.Event], None]) -> None:
        barrier.wait()
        try:
            job(over)
        except BaseException as error:
            errors.append(error)
        over.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    for error in errors:
        raise error


def test_two_threads_never_meet_each_others_hooks(tiny: LanguageModel, hooks_on: Callable[..., int]) -> None:
    """Another text at another hook in every thread: one's hook must not see, end or change the other's pass."""
    texts = [IDS[:1], IDS[1:].repeat(3, 1), IDS[:, :4]]
    early, late, edited = "blocks.0.hook_resid_post", "blocks.3.hook_mlp_out", "blocks.1.hook_resid_post"
    passes: list[Callable[[], torch.Tensor]] = [
        lambda: capture(tiny, texts[0], early),
        lambda: capture_many(tiny, texts[1], [late, early])[late],
        lambda: logits_with(tiny, texts[2], edited, lambda x: x + 1),
        lambda: logits_with(tiny, texts[2], "", None),
    ]
    alone, before = [run() for run in passes], hooks_on(tiny.module)

    def again(number: int) -> None:
        for _ in range(150):
            assert torch.equal(passes[number](), alone[number])

    at_once(*(lambda over, number=number: again(number) for number in range(len(passes))))
    assert hooks_on(tiny.module) == before


def test_a_text_is_written_while_others_read(tiny: LanguageModel) -> None:
    """On the worker, as a panel does, beside a thread that never heard of it."""
    edit = lambda x, start: x + 2  # noqa: E731
    write = lambda: generate(tiny, (0, 50, 60, 70), hook_name="blocks.1.hook_resid_post", edit=edit)  # noqa: E731
    read = lambda: capture(tiny, IDS, "blocks.2.hook_resid_post")  # noqa: E731
    text, acts = write(), read()
    written: list[list[int]] = []

    def beside(over: threading.Event) -> None:
        while not over.is_set():
            assert torch.equal(read(), acts)

    def on_the_worker(over: threading.Event) -> None:
        for _ in range(4):
            written.append(tiny.worker.run(lambda stop: write()))

    at_once(on_the_worker, beside)
    assert written == [text] * 4


def test_a_pass_inside_a_hook_of_its_own_thread_goes_on(tiny: LanguageModel) -> None:
    outer, inner = "blocks.2.hook_resid_post", "blocks.0.hook_resid_post"
    seen: list[torch.Tensor] = []
    look = lambda x: seen.append(capture(tiny, IDS[:1, :3], inner))  # noqa: E731
    tiny.worker.run(lambda stop: logits_with(tiny, IDS, outer, look))  # type: ignore[arg-type]
    assert torch.equal(seen[0], capture(tiny, IDS[:1, :3], inner))


def test_the_model_is_free_between_two_passes_of_a_long_job(tiny: LanguageModel) -> None:
    passes = []

    def long(stop: threading.Event) -> None:
        while not stop.is_set():
            capture(tiny, IDS, "blocks.3.hook_resid_post")

    def short(over: threading.Event) -> None:
        for _ in range(50):
            passes.append(capture(tiny, IDS, "blocks.0.hook_resid_post"))

    at_once(lambda over: tiny.worker.run(long, over), short)  # it ends because the short one could
    assert len(passes) == 50


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
