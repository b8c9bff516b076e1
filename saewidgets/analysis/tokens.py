"""Which features fire on which token of a text."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saewidgets.lm.capture import capture, windows
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sinks import SINK_RATIO as SINK_RATIO
from saewidgets.lm.sinks import sinks as sinks
from saewidgets.lm.tokens import Text, Tokens, readable, token_bytes
from saewidgets.lm.worker import go_on
from saewidgets.records import Provenance, Scale, TokenActs
from saewidgets.sae.activations import SparseActs
from saewidgets.sae.autoencoder import SparseAutoencoder

WIDE = 1 << 20  # places of a window's padded activations from which sinks are cut
SINK_FEATURES = 256  # kept of a sink then


def text_list(given: Any) -> list[Text]:
    """One text, one chat, or several of either, as a list of texts."""
    is_chat = isinstance(given, Sequence) and bool(given) and isinstance(given[0], dict)
    texts = [given] if isinstance(given, str) or is_chat else given
    if not isinstance(texts, Sequence):
        raise TypeError(f"expected a string, a chat, or a list of them, got {type(given).__name__}")
    if not texts:
        raise ValueError("the text is empty: give a string, a chat, or a list of them")
    return list(texts)


@torch.inference_mode()
def token_acts(
    model: LanguageModel,
    sae: SparseAutoencoder,
    texts: Sequence[Text],
    hook_name: str,
    *,
    prepend_bos: bool = True,
    scale: Scale = "norm",
    stop: threading.Event | None = None,
) -> TokenActs:
    """The features firing on every token of ``texts``, long ones run in windows.

    Args:
        model: the model.
        sae: its SAE.
        texts: strings or chats.
        hook_name: where the SAE reads.
        prepend_bos: whether texts start with BOS (at most once, nothing where there is no BOS).
        scale: ``"norm"`` multiplies feature_acts by ‖W_dec‖, so features can be compared; ``"native"`` does not.
        stop: set it to end the work after the current window.

    Raises:
        ValueError: when a text is empty, the hook is unknown, or its width is not the SAE's.
        Stopped: when ``stop`` was set.

    Example:
        >>> token_acts(model, sae, ["The bridge"], "blocks.15.hook_resid_post").frame.columns[-1]
        'activation'
    """
    if scale not in ("norm", "native"):
        raise ValueError(f'scale must be "norm" or "native", got {scale!r}')
    tokens = [model.tokens(text, prepend_bos) for text in texts]
    parts = [_one_text(model, sae, text, hook_name, stop) for text in tokens]
    acts = _join([part[0] for part in parts])
    values = acts.values.float()
    if scale == "norm":
        indices, by_feature = acts.indices.sort(dim=-1, stable=True)  # so that ties go by feature number again
        values = values.gather(-1, by_feature) * sae.decoder_norms().cpu()[indices]
        values, order = values.sort(dim=-1, descending=True, stable=True)
        acts = SparseActs(values, indices.gather(-1, order))
    return _record(model, sae, tokens, acts, torch.cat([part[1] for part in parts]), hook_name, scale)


def _one_text(
    model: LanguageModel, sae: SparseAutoencoder, text: Tokens, hook_name: str, stop: threading.Event | None
) -> tuple[SparseActs, Tensor]:
    encoded, skipped = [], []
    for ids, repeated in windows(model, text.ids, text.has_bos, stop):
        go_on(stop)
        x = capture(model, ids, hook_name)[0]
        sink = sinks(x)
        sink[0] |= text.has_bos
        encoded.append(_narrowed(sae.encode(x[repeated:].to(sae.device)), sink[repeated:].to(sae.device)))
        skipped.append(sink[repeated:].cpu())
    return _join(encoded), torch.cat(skipped)


def _narrowed(acts: SparseActs, sink: Tensor) -> SparseActs:
    """Nearly every feature of a JumpReLU fires on a sink: where that makes a window big, sinks keep their strongest."""
    values, indices = acts
    if values.numel() <= WIDE:
        return acts
    usual = (values[~sink] > 0).sum(-1)
    width = max(int(usual.max()) if len(usual) else 0, SINK_FEATURES)
    return SparseActs(values[:, :width], indices[:, :width])


@torch.inference_mode()
def raw_activations(
    model: LanguageModel,
    texts: Sequence[Text],
    hook_name: str,
    prepend_bos: bool = True,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """The model's own activations at a hook, one row a token: float32 ``[pos, d_in]``."""
    rows = []
    for text in texts:
        tokens = model.tokens(text, prepend_bos)
        for ids, repeated in windows(model, tokens.ids, tokens.has_bos, stop):
            rows.append(capture(model, ids, hook_name)[0, repeated:].float().cpu())
    return torch.cat(rows).numpy()


def _join(parts: list[SparseActs]) -> SparseActs:
    width = max(part.values.shape[-1] for part in parts)
    padded = [[torch.nn.functional.pad(t.cpu(), (0, width - t.shape[-1])) for t in part] for part in parts]
    return SparseActs(torch.cat([p[0] for p in padded]), torch.cat([p[1] for p in padded]))


def _record(
    model: LanguageModel,
    sae: SparseAutoencoder,
    tokens: list[Tokens],
    acts: SparseActs,
    skipped: Tensor,
    hook_name: str,
    scale: Scale,
) -> TokenActs:
    strings: list[str] = []
    split: dict[int, tuple[int, int, str]] = {}
    seams: list[int] = []
    for text in tokens:
        # Each text on its own: bytes of two texts never join into a character.
        own, own_split = readable(token_bytes(model.tokenizer, text.ids))
        split |= {len(strings) + token: part for token, part in own_split.items()}
        step = model.window - int(text.has_bos)
        seams += [len(strings) + at for at in range(model.window, len(own), step)]
        strings += own
    lengths = [len(text.ids) for text in tokens]
    return TokenActs(
        texts=tuple(text.text for text in tokens),
        str_tokens=tuple(strings),
        text=np.repeat(np.arange(len(tokens), dtype=np.int32), lengths),
        position=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        values=acts.values.numpy(),
        indices=acts.indices.numpy().astype(np.int32),
        skipped=skipped.numpy(),
        d_sae=sae.d_sae,
        seams=tuple(seams),
        split=split,
        scale=scale,
        provenance=Provenance(model.name, sae.summary, hook_name),
    )


def with_known(acts: TokenActs, **known: Any) -> TokenActs:
    """The same activations with maxima, labels or provenance that the caller knows."""
    return dataclasses.replace(acts, **known)
