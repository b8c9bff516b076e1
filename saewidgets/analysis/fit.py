"""How well an SAE explains activations: the figures the trust panel and the evaluation report."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from saewidgets.lm.capture import logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder


def variance_explained(x: Tensor, recon: Tensor) -> float:
    """1 − FVU: 1 − Σ‖x − x̂‖² / Σ‖x − mean(x)‖² over tokens, mean-centred (Gao et al. 2024); ``[n, d_in]`` each."""
    x, recon = x.float(), recon.float()
    return 1.0 - float((x - recon).square().sum() / (x - x.mean(0)).square().sum())


def mean_l0(sae: SparseAutoencoder, x: Tensor) -> float:
    """Active features a token, averaged over ``[n, d_in]``."""
    return float((sae.encode(x).values > 0).sum(-1).float().mean())


def cross_entropy(logits: Tensor, ids: Tensor) -> float:
    """Mean next-token loss in nats of logits ``[batch, pos, vocab]`` on ``ids`` ``[batch, pos]``."""
    total = sum(
        torch.nn.functional.cross_entropy(row[:-1].float(), target[1:].to(row.device), reduction="sum")
        for row, target in zip(logits, ids, strict=True)
    )
    return float(total) / (ids.shape[0] * (ids.shape[1] - 1))


def cross_entropies(
    model: LanguageModel,
    sae: SparseAutoencoder,
    ids: Tensor,
    hook_name: str,
    keep: Tensor,
    mean: Tensor,
    read: Tensor | None = None,
) -> tuple[float, float, float]:
    """Loss of the bare model, with x replaced by SAE(x), and with x replaced by ``mean`` ``[d_in]`` (mean-ablation).

    Positions outside ``keep`` (bool ``[batch, pos]``) stay as they are in all three. For a transcoder ``hook_name`` is
    where it writes, and ``read`` ``[batch, pos, d_in]`` what it read.
    """
    keep = keep.to(model.device).unsqueeze(-1)

    def spliced(replacement: Callable[[Tensor], Tensor]) -> float:
        logits = logits_with(model, ids, hook_name, lambda x: torch.where(keep, replacement(x), x))
        return cross_entropy(logits, ids)

    bare = cross_entropy(logits_with(model, ids, hook_name, None), ids)
    with_sae = spliced(lambda x: sae.reconstruct((x if read is None else read).to(sae.device)).to(x.device))
    ablated = spliced(lambda x: mean.to(x.device, x.dtype).expand_as(x))
    return bare, with_sae, ablated


def ce_recovered(bare: float, with_sae: float, ablated: float) -> float:
    """(CE_ablated − CE_sae) / (CE_ablated − CE_bare): 1 = nothing lost, 0 = no better than the ablation."""
    return (ablated - with_sae) / (ablated - bare) if abs(ablated - bare) > 1e-6 else float("nan")
