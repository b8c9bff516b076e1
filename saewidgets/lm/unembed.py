"""From the residual stream to next-token logits, as one matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from saewidgets.lm.model import LanguageModel

FINAL_NORMS = ("model.norm", "transformer.ln_f", "gpt_neox.final_layer_norm", "model.language_model.norm",
               "model.final_layernorm", "model.decoder.final_layer_norm")  # fmt: skip


@torch.inference_mode()
def unembedding(model: LanguageModel) -> Tensor:
    """W_U with the final norm's weight multiplied in: float32 ``[d_model, vocab]`` on the model's device.

    The diagonal approximation of the final norm: its weight is kept, its division by the token's own scale left out.
    Where it is a LayerNorm the mean over d_model is taken out too.

    Raises:
        ValueError: when the model has no final norm or no output layer that can be found.
    """
    head = model.module.get_output_embeddings()
    norm = final_norm(model)
    if head is None or head.weight.shape[1] != model.d_model:
        raise ValueError(f"{model.name} has no output layer as wide as its residual stream (d_model={model.d_model})")
    W = head.weight.detach().float().T * _gain(norm, model.d_model)[:, None]
    return W - W.mean(0) if _centres(norm, model.d_model) else W


def final_norm(model: LanguageModel) -> nn.Module:
    """The norm between the last block and the output layer.

    Raises:
        ValueError: when there is none of a known name.
    """
    for path in FINAL_NORMS:
        try:
            return model.module.get_submodule(path)
        except AttributeError:
            continue
    raise ValueError(f"cannot find the final norm of {model.name}: its logit effects cannot be computed")


def _gain(norm: nn.Module, d: int) -> Tensor:
    """Its weight as it acts, found by asking: some norms multiply by weight, some by 1 + weight."""
    probe = _probe(norm, torch.where(torch.arange(d) % 2 == 0, 1.0, -1.0))
    return (_ask(norm, probe) - _ask(norm, -probe)).float() / 2 / probe.float()


def _centres(norm: nn.Module, d: int) -> bool:
    """Whether it takes the mean out, as LayerNorm does: a constant input then gives only the bias."""
    ones = _probe(norm, torch.ones(d))
    return bool((_ask(norm, ones) - _ask(norm, -ones)).abs().max() < 1e-3 * _gain(norm, d).abs().max())


def _probe(norm: nn.Module, values: Tensor) -> Tensor:
    like = next(norm.parameters(), values)
    return values.to(like.device, like.dtype)


def _ask(norm: nn.Module, x: Tensor) -> Tensor:
    return norm(x[None, None])[0, 0]
