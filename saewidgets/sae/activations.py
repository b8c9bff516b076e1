"""Activation functions that give sparse features directly, strongest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class SparseActs(NamedTuple):
    """Feature activations without the zeros: the currency of every room.

    Rows are sorted by value, strongest first, ties by feature number; unused places hold value 0 and index 0.
    """

    values: Tensor
    """``[..., k]``, at least 0."""
    indices: Tensor
    """int64 ``[..., k]``, feature numbers."""

    def dense(self, d_sae: int) -> Tensor:
        """All features, ``[..., d_sae]``: for tests and small sets only."""
        out = self.values.new_zeros(*self.values.shape[:-1], d_sae)
        return out.scatter_add_(-1, self.indices, self.values)

    def feature(self, feature: int) -> Tensor:
        """Activation of one feature, ``[...]``."""
        return torch.where(self.indices == feature, self.values, 0).sum(-1)


class Activation(Protocol):
    """What follows the encoder's matrix product.

    Attributes:
        name: as SAELens names the architecture, where it has one.
        competes: whether a feature's activation depends on the other features'.
    """

    name: str
    competes: bool

    def sparse(self, pre: Tensor) -> SparseActs:
        """Active features of ``pre`` ``[n, d_sae]``."""
        ...


@dataclass(frozen=True)
class TopK:
    """The ``k`` largest pre-activations of a token, through a ReLU (Gao et al. 2024, arXiv:2406.04093, §2.3).

    Ties at the k-th place go to the lower feature number.
    """

    k: int
    name = "topk"
    competes = True

    def __post_init__(self) -> None:
        _positive(self.k)

    def sparse(self, pre: Tensor) -> SparseActs:
        k = min(self.k, pre.shape[-1])
        values, indices = pre.topk(min(k + 1, pre.shape[-1]), dim=-1)
        # torch.topk leaves the order of equal values open; only rows that have any pay for a full sort.
        tied = ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > 0)).any(-1)
        values, indices = values[:, :k].clone(), indices[:, :k].clone()
        if tied.any():
            full, order = pre[tied].sort(dim=-1, descending=True, stable=True)
            values[tied], indices[tied] = full[:, :k], order[:, :k]
        return _clean(values, indices)


@dataclass(frozen=True)
class ReLU:
    """Every positive pre-activation (Bricken et al. 2023, *Towards Monosemanticity*)."""

    name = "standard"
    competes = False

    def sparse(self, pre: Tensor) -> SparseActs:
        return _above(pre, pre.new_zeros(()))


@dataclass(frozen=True, eq=False)
class JumpReLU:
    """Pre-activations above a per-feature ``threshold`` ``[d_sae]`` (Rajamanoharan et al. 2024, arXiv:2407.14435)."""

    threshold: Tensor
    name = "jumprelu"
    competes = False

    def __repr__(self) -> str:
        low, high = (float(bound) for bound in self.threshold.aminmax())
        return f"JumpReLU(threshold={low:.4g})" if low == high else f"JumpReLU(threshold={low:.4g} to {high:.4g})"

    def sparse(self, pre: Tensor) -> SparseActs:
        return _above(pre, self.threshold.clamp_min(0))


@dataclass(frozen=True)
class GroupMax:
    """The largest pre-activation, through a ReLU, of each of ``k`` equal groups of neighbouring features.

    Source: ``groupmax`` of EleutherAI's sparsify, ``fused_encoder.py``. Ties go to the lower feature number.

    Raises:
        ValueError: on use, when the number of features is not a multiple of ``k``.
    """

    k: int
    name = "groupmax"
    competes = True

    def __post_init__(self) -> None:
        _positive(self.k)

    def sparse(self, pre: Tensor) -> SparseActs:
        if pre.shape[-1] % self.k:
            raise ValueError(f"groupmax needs d_sae to be a multiple of k, got d_sae={pre.shape[-1]} and k={self.k}")
        size = pre.shape[-1] // self.k
        values, within = pre.unflatten(-1, (self.k, size)).max(-1)
        # Groups are in feature order, so a stable sort breaks ties by feature number.
        values, order = values.sort(dim=-1, descending=True, stable=True)
        return _clean(values, order * size + within.gather(-1, order))


def _positive(k: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be at least 1, and a whole number, got {k!r}")


def _clean(values: Tensor, indices: Tensor) -> SparseActs:
    positive = values > 0
    return SparseActs(torch.where(positive, values, 0), torch.where(positive, indices, 0))


def _above(pre: Tensor, bar: Tensor) -> SparseActs:
    """Pre-activations above ``bar``: linear in the number of active features, where a top-k over d_sae would not be."""
    flat = (pre > bar).reshape(-1).nonzero().squeeze(1)
    rows = flat // pre.shape[1]
    cols, active = flat - rows * pre.shape[1], pre.reshape(-1)[flat]
    order = active.sort(descending=True, stable=True).indices
    order = order[rows[order].sort(stable=True).indices]
    rows, cols, active = rows[order], cols[order], active[order]
    counts = torch.bincount(rows, minlength=len(pre))
    place = torch.arange(len(rows), device=pre.device) - (counts.cumsum(0) - counts)[rows]
    width = max(int(counts.max()), 1) if len(counts) else 1
    values = pre.new_zeros(len(pre), width)
    indices = torch.zeros(len(pre), width, dtype=torch.int64, device=pre.device)
    values[rows, place], indices[rows, place] = active, cols
    return SparseActs(values, indices)
