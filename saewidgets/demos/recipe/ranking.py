"""Every live feature by what it does to the next token: the output score, before any text is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.promoted import promoted_tokens
from saewidgets.analysis.steer import FeatureEdit
from saewidgets.analysis.write import Steerer
from saewidgets.lm.capture import capture
from saewidgets.lm.tokens import Tokens
from saewidgets.records import clamp

NEUTRAL = ("From my experience,", "I think that the")
BATCH = 64
CHUNK = 512  # features a line of the file
TOP = 20  # promoted tokens the score looks at
PUSH = 0.3  # how long a change is, in median residual norms: the same for every feature, so that scores compare
STRENGTHS = (0.25, 10.0)


class Score(TypedDict):
    """One feature, means over the neutral prompts."""

    feature: int
    strength: float
    """Multiples of the maximum that make a change `PUSH` median residual norms long."""
    output_score: float
    """(1 − best rank / vocabulary) · largest probability, of the promoted tokens after steering."""
    gain: float
    """The same less its value without steering."""
    delta_logprob: float
    """Mean change of the promoted tokens' log-probability, nats."""
    readback: float
    """What the SAE reads from the changed residual, as a share of what was asked for."""


def strength_of(steerer: Steerer, feature: int, push: float = PUSH) -> float:
    """Multiples of a feature's maximum that make a change ``push`` median residual norms long, within `STRENGTHS`."""
    unit = float(steerer.units.maxima[feature]) * float(steerer.sae.W_dec[feature].float().norm())
    return float(np.clip(push * steerer.units.norm / unit, *STRENGTHS))


def rank(steerer: Steerer, prompts: Sequence[Tokens], path: Path, features: Sequence[int] | None = None) -> list[Score]:
    """Score features (all that have a maximum), best gain first; ``path`` keeps a line a chunk and is gone on with.

    The output score is Arad, Mueller and Belinkov 2025 (arXiv:2505.20063, §3), with a change of equal length for all.
    """
    chosen = list(features) if features is not None else np.flatnonzero(steerer.units.maxima > 0).tolist()
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    found: list[Score] = [score for line in lines for score in json.loads(line)]
    done = {score["feature"] for score in found}
    todo = [feature for feature in chosen if feature not in done]
    for start in range(0, len(todo), CHUNK):
        scores = _score(steerer, prompts, todo[start : start + CHUNK])
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(scores) + "\n")
        found += scores
        print(f"ranked {len(found)} of {len(chosen)} features", flush=True)
    return sorted(found, key=lambda score: (-score["gain"], score["feature"]))


@torch.inference_mode()
def _score(steerer: Steerer, prompts: Sequence[Tokens], features: Sequence[int]) -> list[Score]:
    promoted = promoted_tokens(steerer.model, steerer.sae, features, TOP)
    strengths = [strength_of(steerer, feature) for feature in features]
    numbers = torch.zeros(len(features), 4)
    for prompt in prompts:
        ids = torch.tensor([prompt.ids])
        bare = _last(steerer, ids, None)[0]
        x = capture(steerer.model, ids, steerer.hook_name)
        for start in range(0, len(features), BATCH):
            at = slice(start, start + BATCH)
            own = promoted[at].to(bare.device)
            rows = [(clamp(f, m),) for f, m in zip(features[at], strengths[at], strict=True)]
            edit = FeatureEdit(
                steerer.sae, rows, steerer.units, has_bos=prompt.has_bos, n_prompt=[len(prompt.ids)] * len(rows)
            )
            after = _last(steerer, ids.expand(len(rows), -1), edit)
            before = bare.expand(len(rows), -1)
            score, plain = _output_score(after, own), _output_score(before, own)
            change = (after.gather(1, own) - before.gather(1, own)).mean(1)
            read = _readback(steerer, x.expand(len(rows), -1, -1), edit, features[at], strengths[at])
            numbers[at] += torch.stack([score, score - plain, change, read], dim=1).cpu() / len(prompts)
    names = ("output_score", "gain", "delta_logprob", "readback")
    return [
        Score(feature=int(f), strength=m, **dict(zip(names, row, strict=True)))  # type: ignore[typeddict-item]
        for f, m, row in zip(features, strengths, numbers.tolist(), strict=True)
    ]


def _last(steerer: Steerer, ids: Tensor, edit: FeatureEdit | None) -> Tensor:
    """Log-probabilities of the next token, ``[rows, vocab]``."""
    model = steerer.model
    hooks = [(model.hook(steerer.hook_name), lambda x: edit(x, 0))] if edit is not None else []
    with model.hooked(*hooks):
        logits = model.module(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=1).logits
    return logits[:, -1].float().log_softmax(-1)


def _output_score(logprobs: Tensor, promoted: Tensor) -> Tensor:
    """(1 − best rank / vocabulary) · largest probability of ``promoted`` ``[rows, k]``."""
    best = logprobs.gather(1, promoted).amax(1)
    rank = (logprobs > best.unsqueeze(1)).sum(1)
    return (1 - rank / logprobs.shape[1]) * best.exp()


def _readback(
    steerer: Steerer, x: Tensor, edit: FeatureEdit, features: Sequence[int], strengths: Sequence[float]
) -> Tensor:
    after = edit(x, 0)
    assert after is not None
    columns = torch.tensor(list(features))
    wanted = torch.tensor(strengths) * torch.from_numpy(steerer.units.maxima)[columns]
    return steerer.sae.feature_acts(after[:, -1], columns.to(after.device)).diagonal().float().cpu() / wanted
