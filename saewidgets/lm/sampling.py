"""How the next token is picked: noise keyed by seed and step, so that every strength meets the same."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

NUCLEUS = 512  # tokens sorted first when the most likely ones are looked for: nearly always enough


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
        """The next token for ``logits`` ``[vocab]``: the same (seed, step) always meets the same noise.

        Raises:
            ValueError: when a logit is NaN: the model's numbers have overflowed.
        """
        logits = logits.float().cpu()
        best = int(logits.argmax())
        if math.isnan(float(logits[best])):  # argmax takes a NaN for the largest
            raise ValueError("the model's logits are NaN: use a smaller strength, or the model in float32")
        if self.temperature == 0:
            return best
        logits = logits / self.temperature
        if self.top_p < 1:
            logits = _nucleus(logits, self.top_p)
        return int((logits + _gumbel(self.seed, step, len(logits))).argmax())  # a draw from the softmax


GREEDY = Sampling()


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """−∞ but for the fewest most likely tokens that reach ``top_p``; the lower token first among equals."""
    everything = logits.logsumexp(-1)
    width = min(NUCLEUS, len(logits))
    while True:
        top = logits.topk(width).values
        mass = (top - everything).exp()
        count = max(int((mass.cumsum(-1) - mass < top_p).sum()), 1)
        if count < width or width == len(logits):
            break
        width = len(logits)
    keep = logits > top[count - 1]
    keep[(logits == top[count - 1]).nonzero()[: count - int(keep.sum()), 0]] = True
    return logits.masked_fill(~keep, float("-inf"))


@functools.lru_cache(maxsize=64)
def _gumbel(seed: int, step: int, n: int) -> Tensor:
    """Gumbel noise ``[n]``, made once for all rows of a step that share a seed."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))
    noise = torch.rand(n, generator=generator).clamp_min(1e-20)
    return -(-noise.log()).log()
