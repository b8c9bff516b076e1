"""How good a steered text is, and how far it was pushed, without a judge: every number against the bare model."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.steer import FeatureEdit
from saewidgets.analysis.write import Steerer
from saewidgets.lm.hooks import HookPoint
from saewidgets.lm.tokens import Tokens
from saewidgets.lm.worker import go_on
from saewidgets.records import Intervention, SweepRow, Where

ROWS = 4  # texts whose logits are held at once
PERPLEXITY, REPETITION = 2.0, 0.1  # what a sweet spot may cost: times the bare model's, and more than the bare model's


class Quality(NamedTuple):
    """One text against the bare model."""

    kl: float
    """KL(bare ‖ this) of the next token on this text, nats, mean over the new tokens."""
    perplexity: float
    """exp(mean loss) of the new tokens under the bare model, after the bare prompt."""
    delta_logprob: float
    """Mean change of the log-probability of the promoted tokens, nats."""


class Text(NamedTuple):
    """A text to be measured: what was continued, with what changed, and what came of it."""

    prompt: Tokens
    interventions: tuple[Intervention, ...]
    made: tuple[int, ...]


def measure(
    steerer: Steerer,
    bare: Tokens,
    texts: Sequence[Text],
    promoted: Sequence[int] = (),
    where: Where = "both",
    stop: threading.Event | None = None,
    done: Callable[[int], None] | None = None,
) -> list[Quality]:
    """KL, perplexity and promoted tokens of texts, by running them again behind the bare prompt and as they were made.

    Args:
        steerer: model, SAE and units.
        bare: the prompt of the bare model, which every text is measured against.
        texts: what to measure.
        promoted: tokens whose log-probability is followed.
        where: which tokens were changed.
        stop: set it to end the work.
        done: told how many texts are measured.
    """
    found: list[Quality] = []
    for start in range(0, len(texts), ROWS):
        go_on(stop)
        found += _measure(steerer, bare, texts[start : start + ROWS], torch.tensor(list(promoted)), where)
        if done is not None:
            done(len(found))
    return found


@torch.inference_mode()
def _measure(steerer: Steerer, bare: Tokens, texts: Sequence[Text], promoted: Tensor, where: Where) -> list[Quality]:
    plain = [bool(text.made) and text.prompt.ids == bare.ids and not text.interventions for text in texts]
    before = _logprobs(steerer, [text._replace(prompt=bare, interventions=()) for text in texts], where)
    others = [text for text, same in zip(texts, plain, strict=True) if not same]
    after = iter(_logprobs(steerer, others, where) if others else [])
    found = []
    for text, same, p in zip(texts, plain, before, strict=True):
        q = p if same else next(after)
        if not text.made:
            found.append(Quality(math.nan, math.nan, math.nan))
            continue
        made = torch.tensor(text.made, device=p.device)
        kl = (p.exp() * (p - q)).sum(-1).mean()
        change = (q - p)[:, promoted.to(p.device)].mean() if len(promoted) else torch.tensor(math.nan)
        loss = -p.gather(1, made.unsqueeze(1)).mean()
        found.append(Quality(max(float(kl), 0.0), math.exp(min(float(loss), 700.0)), float(change)))
    return found


def _logprobs(steerer: Steerer, texts: Sequence[Text], where: Where) -> list[Tensor]:
    """Log-probabilities ``[new tokens, vocab]`` at the places each new token was picked from."""
    model = steerer.model
    lengths = [len(text.prompt.ids) for text in texts]
    width = max(len(text.prompt.ids) + len(text.made) for text in texts)
    # Padding behind a text is seen by none of its tokens.
    ids = [[*text.prompt.ids, *text.made] for text in texts]
    ids = torch.tensor([row + [0] * (width - len(row)) for row in ids], device=model.device)
    keep = width - min(lengths) + 1
    hooks = []
    if any(text.interventions for text in texts):
        rows = [text.interventions for text in texts]
        has_bos = texts[0].prompt.has_bos
        edit = FeatureEdit(steerer.sae, rows, steerer.units, has_bos=has_bos, n_prompt=lengths, where=where)
        hooks = _hooks([model.hook(name) for name in steerer.hook_names if name], edit)
    with model.hooked(*hooks):
        logits = model.module(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
    first = [n - 1 - (width - keep) for n in lengths]
    return [
        logits[row, at : at + len(text.made)].float().log_softmax(-1)
        for row, (at, text) in enumerate(zip(first, texts, strict=True))
    ]


def _hooks(points: list[HookPoint], edit: FeatureEdit) -> list[tuple[HookPoint, Callable[[Tensor], Tensor | None]]]:
    if len(points) == 1:
        return [(points[0], lambda x: edit(x, 0))]
    seen: list[Tensor] = []
    return [(points[0], lambda x: seen.append(x)), (points[1], lambda out: edit(seen.pop(), 0, out))]


def repetition(ids: Sequence[int], n: int = 3) -> float:
    """Share of a text's ``n``-grams that occurred in it before, 0 to 1; 0 for texts shorter than that."""
    grams = [tuple(ids[at : at + n]) for at in range(len(ids) - n + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def first_divergence(ids: Sequence[int], bare: Sequence[int]) -> int | None:
    """The first new token at which a text leaves the bare one; None where it never does."""
    if tuple(ids) == tuple(bare):
        return None
    return next((at for at, (a, b) in enumerate(zip(ids, bare, strict=False)) if a != b), min(len(ids), len(bare)))


def sweet_spot(rows: Sequence[SweepRow]) -> float | None:
    """The strength above 0 of largest effect among texts that still make sense; None where there is none.

    Effect: the change in log-probability of the promoted tokens, else KL. Sense: perplexity at most `PERPLEXITY` times
    the bare text's, repetition at most `REPETITION` above it.
    """
    bare = next((row for row in rows if row.kind == "bare"), None)
    if bare is None:
        return None
    fine = [
        row
        for row in rows
        if row.kind == "steered"
        and (row.strength or 0) > 0
        and row.perplexity <= PERPLEXITY * bare.perplexity
        and row.repetition <= bare.repetition + REPETITION
    ]
    if not fine:
        return None
    return max(fine, key=lambda row: row.kl if np.isnan(row.delta_logprob) else row.delta_logprob).strength
