"""Attention sinks: tokens whose massive norm says nothing about the text."""

from __future__ import annotations

from torch import Tensor

SINK_RATIO = 10.0
"""A token whose norm is above this many medians of its window is an attention sink (Xiao et al. 2024; DESIGN §4)."""


def sinks(x: Tensor) -> Tensor:
    """Positions of massive norm, bool ``[pos]``, for activations ``[pos, d]``."""
    norms = x.float().norm(dim=-1)
    return norms > SINK_RATIO * norms.median()
