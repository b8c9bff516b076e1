"""How the next token is picked: noise keyed by seed and step, so that every strength meets the same."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 8.0  # nats below the likeliest: the tokens that are sorted first, nearly always enough


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
        noise = _gumbel(self.seed, step, len(logits))
        if self.top_p == 1:
            return int((logits + noise).argmax())  # a draw from the softmax
        kept = _nucleus(logits, self.top_p)
        return int(kept[(logits[kept] + noise[kept]).argmax()])


GREEDY = Sampling()


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """The fewest most likely tokens that reach ``top_p``, likeliest first; the lower token first among equals."""
    everything = logits.logsumexp(-1)
    near = (logits > logits.max() - NEAR).nonzero()[:, 0]
    while True:
        values, order = logits[near].sort(descending=True, stable=True)
        mass = (values - everything).exp()
        count = max(int((mass.cumsum(-1) - mass < top_p).sum()), 1)
        if count < len(near) or len(near) == len(logits):
            return near[order[:count]]
        near = torch.arange(len(logits))


@functools.lru_cache(maxsize=64)
def _gumbel(seed: int, step: int, n: int) -> Tensor:
    """Gumbel noise ``[n]``, made once for all rows of a step that share a seed."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))
    noise = torch.rand(n, generator=generator).clamp_min(1e-20)
    return -(-noise.log()).log()
