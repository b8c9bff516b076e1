"""The session: one model, one SAE, and everything that can be asked of the two."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from saewidgets.session.corpus import Corpus
from saewidgets.session.panel import SteeringView
from saewidgets.session.space import Space

if TYPE_CHECKING:
    import torch

    from saewidgets.sae.autoencoder import SparseAutoencoder


class Session(Space, Corpus, SteeringView):
    """One model with one SAE at one hook.

    Attributes:
        model: the `LanguageModel`; pass it to `load` again to put another SAE on it.
        sae: the `SparseAutoencoder`.
        hook_name: where the SAE reads.
        index: the corpus index, or None.
    """

    def __repr__(self) -> str:
        return f"Session({self.model.name!r}, {self.sae!r}, hook_name={self.hook_name!r})"


def load(
    model: Any = None,
    *,
    sae: Any,
    hook_name: str | None = None,
    tokenizer: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    index: str | os.PathLike[str] | None = None,
) -> Session:
    """Bind a model and an SAE.

    Args:
        model: hub name, folder, Hugging Face module, `TransformerBridge` or ``other_session.model``; by default the
            one the SAE names.
        sae: whatever `load_sae` takes: a folder or file of any known format, a hub name, a `SparseAutoencoder`, a dict
            of tensors, or an object with ``encode``, ``decode`` and ``W_dec``.
        hook_name: where the SAE reads, in the TransformerLens vocabulary; by default what the SAE names.
        tokenizer: for a model object that does not lead to one.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        dtype: of model and SAE weights.
        index: folder that `Session.scan` wrote for this SAE.

    Raises:
        ValueError: when the hook is unknown, its width is not the SAE's ``d_in``, or the index is of another SAE,
            tokenizer or hook.
        FileNotFoundError: when a path or name leads nowhere.

    Example:
        >>> s = load("gpt2", sae="my-sae")
        >>> s.heatmap("Hello")
    """
    from saewidgets.lm.load import load_model

    dictionary = _as_sae(sae, dtype)
    name = model if model is not None else dictionary.model_name
    if isinstance(name, str) and not name:
        raise ValueError("the SAE does not name its model: pass it first, as in sw.load('gpt2', sae=…)")
    session = Session(load_model(name, tokenizer, device, dtype), dictionary, hook_name)
    if index is not None:
        session.open_index(index)
    if isinstance(sae, (str, os.PathLike)) and isinstance(name, str):
        session.opened = f"s = sw.load({name!r}, sae={os.fspath(sae)!r}, hook_name={session.hook_name!r})"
    return session


def _as_sae(sae: Any, dtype: torch.dtype | None) -> SparseAutoencoder:
    from saewidgets.sae.formats import load_sae

    return load_sae(sae, dtype=dtype)
