"""Interventions as an edit of the residual stream: Anthropic's clamp, the error term kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.tokens import sinks
from saewidgets.lm.generate import Edit
from saewidgets.records import Intervention
from saewidgets.sae.autoencoder import SparseAutoencoder


def edit_of(
    sae: SparseAutoencoder, interventions: Sequence[Intervention], maxima: np.ndarray, has_bos: bool
) -> Edit | None:
    """The edit x + Σ (f′ − f) · W_dec of clamped features, or None for none (Templeton et al. 2024, *Steering*).

    x = SAE(x) + error; clamping inside SAE(x) and leaving the error adds decode(f′) − decode(f), and nothing else;
    times the token's own scale where the SAE normalises its input. A transcoder's features are read at its input hook
    and added at its output hook.
    Position 0 is never touched when it is BOS or an attention sink, nor is any other sink of the prompt.

    Args:
        sae: the SAE.
        interventions: what to clamp, in multiples of each feature's maximum.
        maxima: native feature_acts maxima, float32 ``[d_sae]``.
        has_bos: whether position 0 is BOS.

    Raises:
        ValueError: when a feature does not exist, or its maximum is not known because it never fired.
    """
    if not interventions:
        return None
    features = [checked_feature(sae, item.feature) for item in interventions]
    for item in interventions:
        if maxima[item.feature] <= 0 and item.strength != 0:
            raise ValueError(
                f"feature {item.feature} never fired on the sample its maximum is measured on, "
                "so a multiple of it means nothing: choose another feature, or strength 0 to ablate it"
            )
    wanted = torch.tensor([item.strength * float(maxima[item.feature]) for item in interventions])
    chosen = torch.tensor(features, device=sae.device)
    wanted, directions = wanted.to(sae.device, sae.dtype), sae.W_dec[chosen]

    def edit(x: Tensor, start: int, out: Tensor | None = None) -> Tensor:
        read = x.to(sae.device)
        delta = (wanted - sae.feature_acts(read, chosen)) @ directions * sae.output_scale(read)
        out = x if out is None else out
        untouched = torch.stack([sinks(row) for row in x]) if x.shape[1] > 1 else x.new_zeros(x.shape[:2]).bool()
        if start == 0:
            untouched[:, 0] |= has_bos
        return torch.where(untouched.unsqueeze(-1), out, out + delta.to(out.device, out.dtype))

    return edit


def checked_feature(sae: SparseAutoencoder, feature: int) -> int:
    """``feature`` as an int, or a ValueError that names the range."""
    if not 0 <= feature < sae.d_sae:
        raise ValueError(f"there is no feature {feature}: this SAE has features 0 to {sae.d_sae - 1}")
    return int(feature)
