"""Dictionary learning, small: a TopK SAE from an array of activations, on sparse gradients."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.sae.activations import TopK
from saewidgets.sae.autoencoder import SparseAutoencoder

AUX_COEFFICIENT = 1 / 32  # Gao et al. 2024, §A.2
WARM_UP, DECAY = 0.02, 0.3  # shares of all steps


def train_topk(
    batches: Iterator[Tensor],
    *,
    d_sae: int,
    k: int,
    steps: int,
    lr: float = 1e-3,
    dead_after: int = 200_000,
    seed: int = 0,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> SparseAutoencoder:
    """Fit a TopK SAE with auxiliary-k loss and a unit-norm decoder (Gao et al. 2024, arXiv:2406.04093).

    Args:
        batches: float ``[batch, d_in]`` each, already shuffled; position 0 and outliers left out.
        d_sae: number of features.
        k: active features a token.
        steps: how many batches to take.
        lr: peak learning rate of Adam, after warm-up and before linear decay.
        dead_after: tokens without firing after which a feature counts as dead.
        seed: of the initial directions.
        on_step: called with step, loss, fvu, dead every 20 steps.

    Raises:
        ValueError: when ``k`` is not below ``d_sae``, or there are fewer batches than steps.
        FloatingPointError: when the loss is no longer finite.
    """
    if not 0 < k < d_sae:
        raise ValueError(f"k must be from 1 to d_sae − 1 = {d_sae - 1}, got {k}")
    first = next(batches).float()
    scale = first.norm(dim=1).mean() / math.sqrt(first.shape[1])
    W_enc, b_enc, W_dec, b_dec = parameters = _initial(first / scale, d_sae, seed)
    optimiser = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.999), eps=1e-8, foreach=True)
    silent = torch.zeros(d_sae, dtype=torch.int64, device=first.device)
    x = first / scale
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * _schedule(step / steps)
        loss, figures = _loss(x, parameters, k, silent, dead_after)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is not finite at step {step}: lower lr (now {lr}) or check the input")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            grad = W_dec.grad
            assert grad is not None
            grad -= (grad * W_dec).sum(1, keepdim=True) * W_dec
            optimiser.step()
            W_dec /= W_dec.norm(dim=1, keepdim=True)
        if on_step is not None and (step % 20 == 0 or step == steps - 1):
            on_step({"step": step, **figures, "dead": int((silent > dead_after).sum())})
        if step < steps - 1:
            batch = next(batches, None)
            if batch is None:
                raise ValueError(f"the batches ended after {step + 1} of {steps} steps")
            x = batch.float() / scale
    # (x/s − b)W + c through a top-k, times s, is (x − s·b)W + s·c through the same top-k: the scale folds away.
    with torch.no_grad():
        return SparseAutoencoder(
            W_enc.detach(), b_enc.detach() * scale, W_dec.detach(), b_dec.detach() * scale, activation=TopK(k)
        )


def _initial(x: Tensor, d_sae: int, seed: int) -> tuple[Tensor, ...]:
    directions = torch.randn(d_sae, x.shape[1], generator=torch.Generator().manual_seed(seed)).to(x.device)
    directions /= directions.norm(dim=1, keepdim=True)
    start = (directions.T.contiguous(), x.new_zeros(d_sae), directions, x.mean(0))
    return tuple(t.requires_grad_() for t in start)


def _schedule(share: float) -> float:
    return min(1.0, share / WARM_UP + 1e-2, (1 - share) / DECAY)


def _loss(
    x: Tensor, parameters: tuple[Tensor, ...], k: int, silent: Tensor, dead_after: int
) -> tuple[Tensor, dict[str, float]]:
    """FVU plus the auxiliary loss: dead features reconstruct what the living left over."""
    W_enc, b_enc, W_dec, b_dec = parameters
    centred = x - b_dec
    with torch.no_grad():
        pre = torch.addmm(b_enc, centred, W_enc)
        indices = pre.topk(k, dim=1).indices
    values = F.relu(SelectedColumns.apply(centred, W_enc, b_enc, pre, indices))
    recon = SparseDecode.apply(values, indices, W_dec) + b_dec
    variance = (x - x.mean(0)).square().sum(1).mean()
    fvu = (recon - x).square().sum(1).mean() / variance
    loss = fvu
    with torch.no_grad():
        silent += len(x)
        silent[indices[values > 0]] = 0
        dead = silent > dead_after
    n_dead = int(dead.sum())
    if n_dead:
        k_aux = min(n_dead, x.shape[1] // 2)
        with torch.no_grad():
            aux_indices = pre.masked_fill(~dead, -math.inf).topk(k_aux, dim=1).indices
            residual = (x - recon).detach()
        aux_values = F.relu(SelectedColumns.apply(centred, W_enc, b_enc, pre, aux_indices))
        aux = SparseDecode.apply(aux_values, aux_indices, W_dec)
        loss = loss + AUX_COEFFICIENT * (aux - residual).square().sum(1).mean() / residual.square().sum(1).mean()
    return loss, {"loss": loss.item(), "fvu": fvu.item()}


class SelectedColumns(torch.autograd.Function):
    """Pre-activations of the selected features only, so that the gradient costs k columns a token, not d_sae."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, W_enc: Tensor, b_enc: Tensor, pre: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(x, indices)
        ctx.d_sae = W_enc.shape[1]
        return pre.gather(1, indices)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # x is (input − b_dec); its gradient through the encoder is left out, as b_dec learns from the decoder side.
        x, indices = ctx.saved_tensors
        dW_enc = (_transposed(grads[0], indices, ctx.d_sae) @ x).T
        db_enc = grads[0].new_zeros(ctx.d_sae).index_add_(0, indices.reshape(-1), grads[0].reshape(-1))
        return None, dW_enc, db_enc, None, None


class SparseDecode(torch.autograd.Function):
    """Σ values · W_dec[indices], with a gradient for W_dec made of one sparse matrix product."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor, W_dec: Tensor) -> Tensor:
        ctx.save_for_backward(values, indices, W_dec)
        return F.embedding_bag(indices, W_dec, per_sample_weights=values, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, indices, W_dec = ctx.saved_tensors
        grad = grads[0].contiguous()
        dvalues = torch.cat(
            [
                torch.bmm(W_dec[part], g.unsqueeze(2)).squeeze(2)
                for part, g in zip(indices.split(64), grad.split(64), strict=True)
            ]
        )
        return dvalues, None, _transposed(values, indices, len(W_dec)) @ grad


def _transposed(values: Tensor, indices: Tensor, d_sae: int) -> Tensor:
    """The sparse ``[batch, d_sae]`` matrix of ``values`` at ``indices``, transposed, in CSR form."""
    flat, order = indices.reshape(-1).sort(stable=True)
    crow = torch.zeros(d_sae + 1, dtype=torch.int64, device=values.device)
    crow[1:] = torch.bincount(flat, minlength=d_sae).cumsum(0)
    rows = order // indices.shape[1]
    size = (d_sae, len(indices))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, rows, values.reshape(-1)[order], size=size, check_invariants=False)
