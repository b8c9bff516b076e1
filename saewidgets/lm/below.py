"""What a prompt makes of the blocks below a hook: no edit there changes it, so it need not be computed again."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from saewidgets.lm import hooks
from saewidgets.lm.model import LanguageModel


class _Kept(NamedTuple):
    """One prompt at the first block that an edit can touch."""

    key: tuple[Any, ...]
    entered: Tensor
    """What that block was given, ``[1, pos, d]``."""
    caches: list[tuple[Tensor, Tensor]]
    """Keys and values of the blocks before it, ``[1, heads, pos, d_head]``."""
    packed: bool
    """Whether this architecture's blocks give a tuple."""


class Below:
    """The blocks before a hook: what the last prompt made of them is kept, and put back when it returns.

    For a panel whose slider moves while the prompt stays. Nothing is kept, and every pass is a whole one, where the
    model's blocks are not known, where its cache is more than keys and values (sliding windows), where rows have
    different prompts, or where someone has hooked what would not run. Weights that were changed make a new start.

    Args:
        model: the model.
        hook_name: the first place where something is changed.
    """

    def __init__(self, model: LanguageModel, hook_name: str) -> None:
        match = re.match(r"blocks\.(\d+)\.(.*)", hook_name)
        number = int(match[1]) + (match[2] == "hook_resid_post") if match and model.bridge is None else 0
        self.model, self.hook_name = model, hook_name
        blocks = list(hooks.blocks_of(model.module)) if number else []
        self.before = blocks[:number]
        later = {module for block in blocks[number:] for module in block.modules()}
        self._idle = [module for module in model.module.modules() if module not in later]
        """Modules that do nothing, or whose work is not looked at, where a pass begins later (and those behind all)."""
        self._kept: _Kept | None = None

    @contextlib.contextmanager
    def around(self, ids: list[list[int]], cache: Any) -> Iterator[None]:
        """One pass of whole prompts through the model, which the caller holds: kept, or begun where the kept one ends.

        Args:
            ids: token numbers, a row each.
            cache: the pass's own, empty; full afterwards.
        """
        if not self.before or any(row != ids[0] for row in ids) or self._watched():
            yield
            return
        key = (*ids[0], *self._weights())
        if self._kept is not None and self._kept.key == key:
            with self._begun(self._kept, len(ids)):
                yield
            for layer, both in enumerate(self._kept.caches):
                cache.update(*(x.expand(len(ids), -1, -1, -1) for x in both), layer)
        else:
            self._kept = None
            with self._noted() as found:
                yield
            self._keep(key, cache, *found)

    def _keep(self, key: tuple[Any, ...], cache: Any, entered: Tensor, packed: bool) -> None:
        layers = cache.layers[: len(self.before)]
        if all(type(layer).__name__ == "DynamicLayer" for layer in layers):
            caches = [(layer.keys[:1].clone(), layer.values[:1].clone()) for layer in layers]
            self._kept = _Kept(key, entered, caches, packed)

    def _weights(self) -> Iterator[tuple[Any, ...]]:
        """What changes when weights below the hook are replaced, moved, cast or written over."""
        for module in self._idle:
            for weight in module.parameters(recurse=False):
                version = 0 if weight.is_inference() else weight._version
                yield weight.data_ptr(), version, weight.device, weight.dtype

    def _watched(self) -> bool:
        """Whether someone's hook waits where nothing would run: it must see the pass, and may change it."""
        found = (fn for at in self._idle for fn in (*at._forward_hooks.values(), *at._forward_pre_hooks.values()))
        # transformers leaves its recorders of hidden states behind for good; they are idle while nobody asks for any.
        others = sum(not getattr(fn, "__module__", "").startswith("transformers.") for fn in found)
        return others > self.hook_name.endswith("hook_resid_post")  # the edit's own, behind the last block

    @contextlib.contextmanager
    def _noted(self) -> Iterator[list[Any]]:
        """What the first block that can be touched is given, and whether blocks give tuples."""
        found: list[Any] = []

        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            packed = isinstance(output, tuple)
            found[:] = [(output[0] if packed else output)[:1].clone(), packed]

        handle = self.before[-1].register_forward_hook(note, prepend=True)  # what it is before an edit
        try:
            yield found
        finally:
            handle.remove()

    @contextlib.contextmanager
    def _begun(self, kept: _Kept, rows: int) -> Iterator[None]:
        """No block before computes; the last of them gives what it would have made."""
        made = kept.entered.expand(rows, -1, -1)

        def stand_in(*args: Any, **more: Any) -> Any:
            return (made,) if kept.packed else made

        with contextlib.ExitStack() as undo:
            for block in self.before:
                undo.callback(_restore, block, block.__dict__.get("forward"))
                block.forward = stand_in
            yield


def _restore(block: nn.Module, forward: Any) -> None:
    """Take a stand-in away again: most blocks have no ``forward`` of their own, only their class's."""
    if forward is None:
        del block.forward
    else:
        block.forward = forward
