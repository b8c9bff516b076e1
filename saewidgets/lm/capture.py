"""Activations at a hook, with the forward pass ended there; and a forward pass with them replaced."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import go_on


class _Enough(Exception):
    """Raised inside a hook to leave the forward pass early."""


@torch.inference_mode()
def capture(model: LanguageModel, ids: Tensor, hook_name: str) -> Tensor:
    """Activations ``[batch, pos, d]`` of ``ids`` ``[batch, pos]`` at a hook; nothing behind the hook is computed."""
    found: list[Tensor] = []

    def take(x: Tensor) -> None:
        found.append(x)
        raise _Enough

    with model.hooked((model.hook(hook_name), take)), contextlib.suppress(_Enough):
        _body(model)(input_ids=ids.to(model.device), use_cache=False)
    if not found:
        raise ValueError(f"{hook_name} is never reached when {model.name} runs: choose another hook")
    return found[0]


@torch.inference_mode()
def capture_many(model: LanguageModel, ids: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Activations at several hooks from one forward pass, ended when the last of them was reached."""
    found: dict[str, Tensor] = {}
    wanted = set(names)

    def take(x: Tensor, name: str) -> None:
        found[name] = x
        if found.keys() == wanted:
            raise _Enough

    hooks = [(model.hook(name), functools.partial(take, name=name)) for name in wanted]
    with model.hooked(*hooks), contextlib.suppress(_Enough):
        _body(model)(input_ids=ids.to(model.device), use_cache=False)
    return found


@torch.inference_mode()
def logits_with(model: LanguageModel, ids: Tensor, hook_name: str, edit: Callable[[Tensor], Tensor] | None) -> Tensor:
    """Logits ``[batch, pos, vocab]`` with the activations at a hook replaced by ``edit`` of them (None: bare model)."""
    hooks = [(model.hook(hook_name), edit)] if edit is not None else []
    with model.hooked(*hooks):
        return model.module(input_ids=ids.to(model.device), use_cache=False).logits


def windows(
    model: LanguageModel, ids: Sequence[int], has_bos: bool, stop: threading.Event | None = None
) -> list[tuple[Tensor, int]]:
    """Cut token numbers into stretches the model can run: ``(ids [1, n], places at the front that repeat BOS)``.

    Later windows begin with BOS again where the text does, so that no ordinary token becomes the attention sink.
    """
    size = model.window
    cut = [(torch.tensor([list(ids[:size])]), 0)]
    step = size - int(has_bos)
    for start in range(size, len(ids), step):
        go_on(stop)
        piece = list(ids[start : start + step])
        cut.append((torch.tensor([[ids[0], *piece] if has_bos else piece]), int(has_bos)))
    return cut


def _body(model: LanguageModel) -> torch.nn.Module:
    """The model without its unembedding: logits nobody asked for are never computed."""
    base = getattr(model.module, getattr(model.module, "base_model_prefix", "") or "-", None)
    return base if isinstance(base, torch.nn.Module) else model.module
