"""Which tokens a feature promotes and suppresses, read off the weights."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import go_on
from saewidgets.sae.autoencoder import SparseAutoencoder

CHUNK = 1 << 23  # logits held at once (32 MB)
K = 10
FINAL_NORMS = (
    "model.norm",
    "transformer.ln_f",
    "gpt_neox.final_layer_norm",
    "model.language_model.norm",
    "model.decoder.final_layer_norm",
    "model.final_layernorm",
)


class LogitWeights(NamedTuple):
    """The tokens whose logits a unit of each feature's decoder direction moves most."""

    up: np.ndarray
    """int32 ``[n, k]``, tokens promoted, the most promoted first."""
    up_weight: np.ndarray
    """float32 ``[n, k]``."""
    down: np.ndarray
    """int32 ``[n, k]``, tokens suppressed, the most suppressed first."""
    down_weight: np.ndarray
    """float32 ``[n, k]``, the lowest first."""


class Unembedding:
    """From a direction in the residual stream to the vocabulary, the final norm approximated by its diagonal.

    Source: the logit weights of Bricken et al. 2023, *Towards Monosemanticity*, feature visualizer: direction → scale
    of the final norm (its mean subtracted first where the norm does so) → unembed, shifted so that the median over the
    tokens that count is 0.

    Args:
        model: the model.
        counted: bool ``[vocab]``, which tokens count; by default all but special tokens and unused rows.
    """

    def __init__(self, model: LanguageModel, counted: np.ndarray | None = None) -> None:
        weight = model.module.get_output_embeddings().weight.detach()
        norm = final_norm(model)
        self.scale, self.centres = _diagonal(norm, weight)
        usable = torch.from_numpy(usual_tokens(model) if counted is None else counted & usual_tokens(model))
        self.ids = usable.nonzero().flatten().to(weight.device)
        self.matrix = weight if len(self.ids) == len(weight) else weight[self.ids]

    @torch.inference_mode()
    def through_norm(self, directions: Tensor) -> Tensor:
        """What the final norm's diagonal makes of ``directions`` ``[n, d_model]``, but for its length."""
        directions = directions.detach().to(self.scale)
        if self.centres:
            directions = directions - directions.mean(-1, keepdim=True)
        return directions * self.scale

    @torch.inference_mode()
    def weights(self, directions: Tensor) -> Tensor:
        """Median-centred logit weights of ``directions`` ``[n, d_model]``: float32 ``[n, len(ids)]``."""
        logits = (self.through_norm(directions).to(self.matrix.dtype) @ self.matrix.T).float()
        return logits.sub_(logits.median(dim=-1, keepdim=True).values)

    @torch.inference_mode()
    def top(self, directions: Tensor, k: int = K, stop: threading.Event | None = None) -> LogitWeights:
        """The ``k`` tokens each of ``directions`` ``[n, d_model]`` promotes and suppresses most."""
        size, k = max(1, CHUNK // len(self.ids)), min(k, len(self.ids))
        # Filled in place: a small result kept from each chunk would sit in the hole the chunk's logits leave, and the
        # next chunk's would not fit there any more.
        found = LogitWeights(*(np.zeros((len(directions), k), dtype) for dtype in (np.int32, np.float32) * 2))
        for start in range(0, len(directions), size):
            go_on(stop)
            weights, rows = self.weights(directions[start : start + size]), slice(start, start + size)
            for sign, ids, values in ((1, found.up, found.up_weight), (-1, found.down, found.down_weight)):
                best = (weights if sign == 1 else weights.neg_()).topk(k)
                ids[rows] = self.ids[best.indices].to(torch.int32).cpu().numpy()
                values[rows] = sign * best.values.cpu().numpy()
        return found

    def by_chance(self, n: int = 512, share: float = 0.99) -> float:
        """What the most promoted token of a random unit direction stays below in ``share`` of ``n`` seeded ones."""
        random = torch.randn(n, len(self.scale), generator=torch.Generator().manual_seed(0)).to(self.scale.device)
        highest = self.top(torch.nn.functional.normalize(random, dim=1), 1).up_weight[:, 0]
        return float(np.quantile(highest, share))


def has_logit_weights(model: LanguageModel, sae: SparseAutoencoder) -> bool:
    """Whether the SAE's decoder writes into the residual stream, so that its directions have logit weights."""
    unembeds = model.module.get_output_embeddings() is not None
    return sae.d_out == model.d_model and unembeds and _find_final_norm(model) is not None


def usual_tokens(model: LanguageModel) -> np.ndarray:
    """Tokens that text is made of, bool ``[vocab]``: no special tokens, no rows without a token."""
    vocab = int(model.module.get_output_embeddings().weight.shape[0])
    usual = np.zeros(vocab, bool)
    usual[: min(len(model.tokenizer), vocab)] = True
    special: Sequence[int] = [i for i in model.tokenizer.all_special_ids if i < vocab]
    usual[list(special)] = False
    return usual


def final_norm(model: LanguageModel) -> torch.nn.Module:
    """The norm before the unembedding.

    Raises:
        ValueError: when this architecture's is not known.
    """
    if (found := _find_final_norm(model)) is not None:
        return found
    raise ValueError(f"cannot find the final norm in a {type(model.module).__name__}: no logit weights")


def _find_final_norm(model: LanguageModel) -> torch.nn.Module | None:
    for path in FINAL_NORMS:
        with contextlib.suppress(AttributeError):
            return model.module.get_submodule(path)
    return None


@torch.inference_mode()
def _diagonal(norm: Any, weight: Tensor) -> tuple[Tensor, bool]:
    """The norm's scale, and whether it subtracts the mean, found by asking it: architectures spell both differently."""
    probe = torch.ones(1, weight.shape[1], dtype=torch.float32, device=weight.device)
    probe[:, ::2] = -1.0
    kept = next(norm.parameters()).dtype
    forth, back, shifted = (norm(x.to(kept)).float() for x in (probe, -probe, probe + 3.0))
    centres = bool(torch.allclose(shifted, forth, atol=0.05 * float((forth - back).abs().max())))
    normal = probe - probe.mean() if centres else probe  # the mean is 0 but for an odd width
    normal = normal / normal.square().mean().sqrt()
    return ((forth - back) / (2 * normal))[0], centres
