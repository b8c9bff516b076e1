"""The tokens features make likelier, and the features that make given words likelier, without a corpus index."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.logits import Unembedding, has_logit_weights
from saewidgets.analysis.sample import passages
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder

if TYPE_CHECKING:
    import pandas as pd

_common: weakref.WeakKeyDictionary[LanguageModel, Tensor] = weakref.WeakKeyDictionary()


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


def promoted_tokens(
    model: LanguageModel,
    sae: SparseAutoencoder,
    features: Sequence[int],
    k: int = 10,
    among: Tensor | None = None,
) -> Tensor:
    """The ``k`` tokens each feature raises most, best first: int64 ``[n, k]``; ``[n, 0]`` where there is no such path.

    Read by `Unembedding` among `common_tokens`, unless others are given.
    """
    if not has_logit_weights(model, sae):
        return torch.zeros(len(features), 0, dtype=torch.int64)
    counted = np.zeros(model.module.get_output_embeddings().weight.shape[0], bool)
    counted[(common_tokens(model) if among is None else among).numpy()] = True
    up = Unembedding(model, counted).top(sae.W_dec[list(features)], k).up
    return torch.from_numpy(up.astype(np.int64))


@torch.inference_mode()
def promoters(model: LanguageModel, sae: SparseAutoencoder, tokens: Sequence[int]) -> Tensor:
    """How much each feature raises the best of ``tokens``, against what it does to others: float32 ``[d_sae]``.

    In standard deviations of the logits a direction of its norm gives, so that features can be compared.
    """
    if not has_logit_weights(model, sae) or not len(tokens):
        return torch.zeros(sae.d_sae)
    W_U = model.module.get_output_embeddings().weight.detach().float()
    centred = W_U[list(tokens)] - W_U.mean(0)
    directions = Unembedding(model).through_norm(sae.W_dec).float()
    spread = (directions @ torch.cov(W_U.T)).mul(directions).sum(1).clamp_min(1e-12).sqrt()
    return ((directions @ centred.T).amax(1) / spread).cpu()


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
