"""The tokens a feature's decoder direction makes likelier, read through the final norm and the unembedding."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from saewidgets.analysis.sample import passages
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder

if TYPE_CHECKING:
    import pandas as pd

FINAL_NORMS = ("model.norm", "transformer.ln_f", "gpt_neox.final_layer_norm", "model.language_model.norm",
               "model.decoder.final_layer_norm", "model.final_layernorm")  # fmt: skip
_common: weakref.WeakKeyDictionary[LanguageModel, Tensor] = weakref.WeakKeyDictionary()


def writes_to_logits(model: LanguageModel, sae: SparseAutoencoder) -> bool:
    """Whether decoder directions are as wide as the residual stream, so that logits can be read from them."""
    return sae.d_out == model.d_model


def common_tokens(model: LanguageModel, words: Iterable[str] = ()) -> Tensor:
    """The tokens of the built-in sample of text and the first token of every one of ``words``, int64, ascending.

    Rows of the unembedding that were hardly ever trained stand out in any direction; what a feature promotes is looked
    for among tokens that texts are made of.
    """
    if model not in _common:
        special = set(model.tokenizer.all_special_ids)
        found = {token for passage in passages() for token in model.tokens(passage, prepend_bos=False).ids}
        _common[model] = torch.tensor(sorted(found - special))
    ids = [model.tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in words]
    return torch.cat([_common[model], torch.tensor(ids, dtype=torch.int64)]).unique()


@torch.inference_mode()
def promoted_tokens(
    model: LanguageModel,
    sae: SparseAutoencoder,
    features: Sequence[int],
    k: int = 10,
    among: Tensor | None = None,
) -> Tensor:
    """The ``k`` tokens each feature raises most, best first: int64 ``[n, k]``; ``[n, 0]`` where there is no such path.

    Direction → weight of the final norm (its diagonal approximation) → unembedding (Bricken et al. 2023), among
    `common_tokens` unless others are given.
    """
    if not writes_to_logits(model, sae):
        return torch.zeros(len(features), 0, dtype=torch.int64)
    among = common_tokens(model) if among is None else among
    logits = _through_norm(model, sae.W_dec[list(features)]) @ _unembedding(model)[among.to(model.device)].T
    return among[logits.topk(min(k, logits.shape[1]), dim=1).indices.cpu()]


@torch.inference_mode()
def promoters(model: LanguageModel, sae: SparseAutoencoder, tokens: Sequence[int]) -> Tensor:
    """How much each feature raises the best of ``tokens``, against what it does to others: float32 ``[d_sae]``.

    In standard deviations of the logits a direction of its norm gives, so that features can be compared.
    """
    if not writes_to_logits(model, sae) or not len(tokens):
        return torch.zeros(sae.d_sae)
    W_U = _unembedding(model).float()
    centred = W_U[list(tokens)] - W_U.mean(0)
    directions = _through_norm(model, sae.W_dec).float()
    spread = (directions @ torch.cov(W_U.T)).mul(directions).sum(1).clamp_min(1e-12).sqrt()
    return ((directions @ centred.T).amax(1) / spread).cpu()


def _unembedding(model: LanguageModel) -> Tensor:
    return model.module.get_output_embeddings().weight.detach()


def _through_norm(model: LanguageModel, directions: Tensor) -> Tensor:
    W_U = _unembedding(model)
    directions = directions.detach().to(W_U)
    norm: Any = final_norm(model)
    if norm is None:
        return directions
    if isinstance(norm, nn.LayerNorm):
        directions = directions - directions.mean(-1, keepdim=True)
    weight = norm.weight.detach().to(W_U)
    return directions * (1 + weight if "Gemma" in type(norm).__name__ else weight)


def final_norm(model: LanguageModel) -> nn.Module | None:
    """The norm before the unembedding, where this architecture's is known."""
    for path in FINAL_NORMS:
        try:
            return model.module.get_submodule(path)
        except AttributeError:
            continue
    return None


def find_promoters(model: LanguageModel, sae: SparseAutoencoder, query: str, k: int = 20) -> pd.DataFrame:
    """Features that raise the words of ``query`` most: feature, label (what they promote), score; best first.

    A stand-in for a search by label where there is no corpus index. Words are looked up by their first token, with and
    without a space before them.
    """
    import pandas as pd

    words = query.split()
    forms = [form for word in words for form in (f" {word}", word, f" {word.capitalize()}")]
    ids = [model.tokenizer(form, add_special_tokens=False)["input_ids"] for form in forms]
    scores = promoters(model, sae, sorted({found[0] for found in ids if found}))
    best = scores.topk(min(k, len(scores))) if len(ids) and bool(scores.any()) else scores[:0].topk(0)
    features = best.indices.tolist()
    promoted = promoted_tokens(model, sae, features, 4).tolist() if features else []
    labels = [", ".join(model.tokenizer.decode([token]).strip() for token in tokens) for tokens in promoted]
    return pd.DataFrame({"feature": features, "label": labels, "score": best.values.tolist()})
