"""Encoder and decoder of the selected features only: a gradient costs k columns a token, not d_sae.

A selection is flat: entry i is feature ``cols[i]`` on token ``rows[i]``, sorted by token; ``crow`` ``[batch + 1]`` says
where each token's entries begin, so tokens may hold different numbers of features, as BatchTopK wants.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Selection:
    """Which features are active on which tokens of a batch."""

    rows: Tensor
    cols: Tensor
    crow: Tensor
    d_sae: int


class SelectedActs(torch.autograd.Function):
    """Pre-activations of the selected features, with gradients for ``W [d_sae, d_in]`` and ``b [d_sae]``.

    ``x`` is the input minus b_dec. Its own gradient is left out: b_dec learns from the decoder's side.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, pre: Tensor, chosen: Selection) -> Tensor:
        ctx.save_for_backward(x)
        ctx.chosen = chosen
        return pre[chosen.rows, chosen.cols].to(x.dtype)  # pre may be bfloat16

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        chosen: Selection = ctx.chosen
        db = grads[0].new_zeros(chosen.d_sae).index_add_(0, chosen.cols, grads[0])
        return None, _summed(grads[0], chosen, x), db, None, None


class SparseDecode(torch.autograd.Function):
    """Σ values · W_dec[cols] a token, ``[batch, d_in]``; both gradients are sparse matrix products."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, W_dec: Tensor, chosen: Selection) -> Tensor:
        ctx.save_for_backward(values, W_dec)
        ctx.chosen = chosen
        return F.embedding_bag(chosen.cols, W_dec, chosen.crow[:-1], per_sample_weights=values, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, W_dec = ctx.saved_tensors
        chosen: Selection = ctx.chosen
        grad = grads[0].contiguous()
        # One product sampled at the selection: gathering k rows of W_dec a token costs 20 times as much (CPU).
        pattern = _csr(chosen.crow, chosen.cols, torch.zeros_like(values), (len(grad), chosen.d_sae))
        dvalues = torch.sparse.sampled_addmm(pattern, grad, W_dec.T, beta=0.0).values()
        return dvalues, _summed(values, chosen, grad), None


def _summed(values: Tensor, chosen: Selection, rows: Tensor) -> Tensor:
    """Of every feature, Σ values · rows over the tokens it is active on: ``[d_sae, d_in]``, added up in their order."""
    order = _stable_order(chosen.cols, chosen.d_sae)
    starts = torch.zeros(chosen.d_sae + 1, dtype=torch.int64, device=values.device)
    starts[1:] = torch.bincount(chosen.cols, minlength=chosen.d_sae).cumsum(0)
    # Half the time of a product with a sparse matrix, which fills its result with zeros first (CPU).
    return F.embedding_bag(chosen.rows[order], rows, starts[:-1], per_sample_weights=values[order], mode="sum")


def _stable_order(cols: Tensor, d_sae: int) -> Tensor:
    if cols.is_cuda:
        return cols.argsort(stable=True)
    # numpy sorts 16-bit integers by radix, a hundred times faster than torch sorts 64-bit ones.
    narrow = cols.numpy().astype(np.uint16 if d_sae <= 1 << 16 else np.int32)
    return torch.from_numpy(np.argsort(narrow, kind="stable"))


def _csr(crow: Tensor, cols: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, cols, values, size=size, check_invariants=False)
