"""Our own generation loop: one KV cache, one optional edit at one hook, noise keyed by seed and step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saewidgets.lm.hooks import HookPoint
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import go_on

Edit = Callable[..., Tensor]
"""``edit(x, start)``: new activations ``[batch, pos, d]``; ``start`` is the position of the first of them.

Where reading and writing are at two hooks: ``edit(x, start, out)`` gives what replaces ``out`` at the second.
"""


@dataclass(frozen=True)
class Sampling:
    """How the next token is picked: greedy at temperature 0, else from the ``top_p`` most likely."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")

    def pick(self, logits: Tensor, step: int) -> int:
        """The next token for ``logits`` ``[vocab]``: the same (seed, step) always meets the same noise."""
        logits = logits.float().cpu()
        if self.temperature == 0:
            return int(logits.argmax())
        logits = logits / self.temperature
        if self.top_p < 1:
            ordered, order = logits.sort(descending=True, stable=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            logits = logits.masked_fill(
                torch.zeros_like(logits, dtype=torch.bool).index_fill_(0, order[before >= self.top_p], True),
                float("-inf"),
            )
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % (1 << 63))
        noise = torch.rand(logits.shape, generator=generator).clamp_min(1e-20)
        return int((logits - (-noise.log()).log()).argmax())  # Gumbel-max: a draw from the softmax


@torch.inference_mode()
def generate(
    model: LanguageModel,
    ids: tuple[int, ...],
    *,
    hook_name: str = "",
    hook_name_out: str = "",
    edit: Edit | None = None,
    max_new_tokens: int = 60,
    sampling: Sampling = Sampling(),
    stop: threading.Event | None = None,
) -> list[int]:
    """Continue ``ids`` token by token until a stop token, ``max_new_tokens`` or the end of the context.

    With ``edit`` None nothing is hooked: the output is that of the bare model, bit for bit. ``edit`` reads at
    ``hook_name`` and writes there too, or at ``hook_name_out``, which must come later in the forward pass.

    Raises:
        ValueError: when the prompt does not leave room for one token in the context.
        Stopped: when ``stop`` was set; the model is left as it was.

    Example:
        >>> generate(model, model.tokens("Once upon").ids, max_new_tokens=3)
        [253, 655, 28]
    """
    if len(ids) >= model.context:
        raise ValueError(f"the prompt has {len(ids)} tokens, but the model's context holds {model.context}: shorten it")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    names = [] if edit is None else [name for name in (hook_name, hook_name_out) if name]
    loop = _Loop(model, [model.hook(name) for name in names], edit)
    made: list[int] = []
    with loop:
        logits = loop.feed(list(ids))
        while True:
            go_on(stop)
            token = sampling.pick(logits, len(made))
            if token in model.stop_ids:
                return made
            made.append(token)
            if len(made) >= max_new_tokens or len(ids) + len(made) >= model.context:
                return made
            logits = loop.feed([token])


class _Loop:
    """The cache, the place in the text, and the hooks while they are installed."""

    def __init__(self, model: LanguageModel, points: list[HookPoint], edit: Edit | None) -> None:
        from transformers import DynamicCache

        self.model, self.points, self.edit = model, points, edit
        self.handles: list[Any] = []
        self.read = torch.empty(0)
        self.cache = DynamicCache(config=model.config)
        self.start = 0

    def __enter__(self) -> _Loop:
        edit = self.edit
        if edit is not None and len(self.points) == 1:
            self.handles = [self.points[0].attach(lambda x: edit(x, self.start))]
        elif edit is not None:
            here, there = self.points
            self.handles = [here.attach(self._keep), there.attach(lambda out: edit(self.read, self.start, out))]
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _keep(self, x: Tensor) -> None:
        self.read = x

    def feed(self, ids: list[int]) -> Tensor:
        """Run ``ids`` behind what was fed before; logits ``[vocab]`` after the last of them."""
        out = self.model.module(
            input_ids=torch.tensor([ids], device=self.model.device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.start += len(ids)
        return out.logits[0, -1]
