"""The effect of features on next-token logits, as vectors small enough for exact distances."""

from __future__ import annotations

import torch
from torch import Tensor

from saewidgets.geometry.steps import Step, silent

CHUNK = 1 << 24  # logits held at once (64 MB), however many features and tokens there are


@torch.inference_mode()
def logit_medians(W_dec: Tensor, W_U: Tensor, step: Step = silent) -> Tensor:
    """Median over the vocabulary of each feature's logit effect ``W_dec @ W_U``: float32 ``[d_sae]`` on the CPU.

    Every logit of every feature is computed, in chunks. Of an even number of tokens the lower middle one counts.

    Args:
        W_dec: ``[d_sae, d]``.
        W_U: ``[d, vocab]``, the final norm's weight multiplied in.
        step: told how far the work is.
    """
    rows = max(1, CHUNK // W_U.shape[1])
    W_U = W_U.float()
    found = []
    for start in range(0, len(W_dec), rows):
        step("logit effects", start / len(W_dec))
        found.append((W_dec[start : start + rows].float() @ W_U).median(dim=1).values.cpu())
    step("logit effects", 1.0)
    return torch.cat(found)


@torch.inference_mode()
def logit_effects(W_dec: Tensor, W_U: Tensor, medians: Tensor) -> Tensor:
    """Vectors whose inner products are those of the median-centred logit effects: float32 ``[d_sae, d + 1]``.

    With c = w·W_U over a vocabulary of V tokens, c̄ its mean and m its median, c − m = (c − c̄) + (c̄ − m): two
    orthogonal parts. Inner products of the first are w·A·w′ with A = W_U·W_Uᵀ − V·ūūᵀ (ū the mean column of W_U), that
    is of w·A^½; of the second they are V·(c̄ − m)(c̄′ − m′). So d + 1 numbers stand for V.

    Args:
        W_dec: ``[d_sae, d]``.
        W_U: ``[d, vocab]``, the final norm's weight multiplied in.
        medians: ``[d_sae]``, what `logit_medians` gives.
    """
    device = W_dec.device if W_dec.device.type != "mps" else torch.device("cpu")  # which has no float64
    vocab = W_U.shape[1]
    W_U, W = W_U.to(device), W_dec.to(device, torch.float64)
    gram = torch.zeros(len(W_U), len(W_U), dtype=torch.float64, device=device)
    mean = torch.zeros(len(W_U), dtype=torch.float64, device=device)
    for part in W_U.split(max(1, CHUNK // len(W_U)), dim=1):
        mean += part.double().sum(1) / vocab
    for part in W_U.split(max(1, CHUNK // len(W_U)), dim=1):
        centred = part.double() - mean[:, None]  # before the product: a large mean costs no digits
        gram += centred @ centred.T
    power, basis = torch.linalg.eigh(gram)
    root = basis * power.clamp_min(0).sqrt()
    shift = vocab**0.5 * (W @ mean - medians.to(device, torch.float64))
    return torch.cat([W @ root, shift[:, None]], dim=1).float().to(W_dec.device)
