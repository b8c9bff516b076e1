"""Our own generation loop: one KV cache, rows side by side, one optional edit at one hook."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saewidgets.lm.below import Below
from saewidgets.lm.hooks import HookPoint
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sampling import GREEDY, Sampling
from saewidgets.lm.stream import TextStream
from saewidgets.lm.worker import go_on

Edit = Callable[..., Tensor | None]
"""``edit(x, start)``: new activations ``[batch, pos, d]``, or None to leave them; ``start`` is the position of the
first of them: a number, or ``[batch, 1]`` where rows are of different lengths (below 0: padding before the row's text).

Where reading and writing are at two hooks: ``edit(x, start, out)`` gives what replaces ``out`` at the second.
"""


def generate(
    model: LanguageModel,
    ids: tuple[int, ...],
    *,
    hook_name: str = "",
    hook_name_out: str = "",
    edit: Edit | None = None,
    max_new_tokens: int = 60,
    sampling: Sampling = GREEDY,
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
    rows = generate_rows(
        model,
        [ids],
        hook_names=(hook_name, hook_name_out),
        edit=edit,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        stop=stop,
    )
    return rows[0]


@torch.inference_mode()
def generate_rows(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    hook_names: tuple[str, str] = ("", ""),
    edit: Edit | None = None,
    max_new_tokens: int = 60,
    sampling: Sampling | Sequence[Sampling] = GREEDY,
    streams: Sequence[TextStream] | None = None,
    stop: threading.Event | None = None,
    stepped: Callable[[int], None] | None = None,
    below: Below | None = None,
) -> list[list[int]]:
    """Continue several prompts side by side; see `generate`.

    Args:
        model: the model.
        prompts: token numbers, a row each; shorter ones are padded on the left and see nothing of the padding.
        hook_names: where ``edit`` reads, and where it writes if that is elsewhere.
        edit: sees all rows at once.
        max_new_tokens: where to stop at the latest.
        sampling: for all rows, or one each; rows of one seed meet the same noise.
        streams: one a row: they receive the row's tokens as they come, and can end it by a stop string.
        stop: set it to end the work before the next token.
        stepped: told after every token how many there are.
        below: keeps what a prompt makes of the blocks below the hook, for the next text that begins with it.

    Returns:
        The new tokens of every row, without the stop token; a stop string's tokens are among them.
    """
    _check(model, prompts, max_new_tokens)
    samplings = [sampling] * len(prompts) if isinstance(sampling, Sampling) else list(sampling)
    made: list[list[int]] = [[] for _ in prompts]
    going = set(range(len(prompts)))
    names = [] if edit is None else [name for name in hook_names if name]
    loop = Loop(model, [model.hook(name) for name in names], edit)
    logits = loop.begin(prompts, below)
    for step in range(max_new_tokens):
        go_on(stop)
        for row in sorted(going):
            token = samplings[row].pick(logits[row], step)
            ended = _take(model, token, made[row], streams[row] if streams else None)
            if ended or len(prompts[row]) + len(made[row]) >= model.context:
                going.discard(row)
        if stepped is not None:
            stepped(step + 1)
        if not going or step + 1 == max_new_tokens:
            break
        # Rows that have ended are fed their last token again: what comes of it is seen by nobody.
        logits = loop.feed([[row[-1] if row else 0] for row in made])
    for stream in streams or ():
        stream.close()
    return made


def _check(model: LanguageModel, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    for ids in prompts:
        if len(ids) >= model.context:
            raise ValueError(
                f"the prompt has {len(ids)} tokens, but the model's context holds {model.context}: shorten it"
            )
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")


def _take(model: LanguageModel, token: int, made: list[int], stream: TextStream | None) -> bool:
    """Add a token to its row; whether the row ends there."""
    if token in model.stop_ids:
        return True
    made.append(token)
    if stream is None:
        return False
    stream.feed(token)
    return stream.ended


class Loop:
    """The cache, the place in the text, and what is hooked while a step runs: between steps the model is free."""

    def __init__(self, model: LanguageModel, points: list[HookPoint], edit: Edit | None) -> None:
        from transformers import DynamicCache

        self.model = model
        self.hooks = self._hooks(points, edit)
        self.read = torch.empty(0)
        self.cache = DynamicCache(config=model.config)
        self.fed = 0
        self.padding: Tensor | None = None
        """Columns before each row's text, int64 ``[batch, 1]``; None where all rows are of one length."""

    @property
    def start(self) -> int | Tensor:
        """Position, in each row's own text, of the first column being fed."""
        return self.fed if self.padding is None else self.fed - self.padding

    def begin(self, prompts: Sequence[Sequence[int]], below: Below | None = None) -> Tensor:
        """Run the prompts; logits ``[batch, vocab]`` after the last token of each."""
        width = max(len(ids) for ids in prompts)
        short = [width - len(ids) for ids in prompts]
        if any(short):
            self.padding = torch.tensor(short, device=self.model.device).unsqueeze(1)
        return self.feed([[0] * n + list(ids) for n, ids in zip(short, prompts, strict=True)], below)

    def feed(self, ids: list[list[int]], below: Below | None = None) -> Tensor:
        """Run ``ids``, as many for every row, behind what was fed before; logits ``[batch, vocab]`` after the last."""
        columns = torch.tensor(ids, device=self.model.device)
        known = contextlib.nullcontext() if below is None else below.around(ids, self.cache)
        with self.model.hooked(*self.hooks), known:
            out = self.model.module(
                input_ids=columns,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
                **self._places(columns.shape[1]),
            )
        self.fed += columns.shape[1]
        return out.logits[:, -1]

    def _places(self, n: int) -> dict[str, Tensor]:
        """What a model must be told where rows are padded."""
        if self.padding is None:
            return {}
        columns = torch.arange(self.fed + n, device=self.model.device)
        positions = (columns[self.fed :] - self.padding).clamp(0, self.model.context - 1)
        return {"attention_mask": (columns >= self.padding).long(), "position_ids": positions}

    def _hooks(
        self, points: list[HookPoint], edit: Edit | None
    ) -> list[tuple[HookPoint, Callable[[Tensor], Tensor | None]]]:
        if edit is None:
            return []
        if len(points) == 1:
            return [(points[0], lambda x: edit(x, self.start))]
        here, there = points
        return [(here, self._keep), (there, lambda out: edit(self.read, self.start, out))]

    def _keep(self, x: Tensor) -> None:
        self.read = x
