"""The built-in sample of text: what an SAE is checked on and a feature's maximum is measured on."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor

from saewidgets.lm.model import LanguageModel


@functools.cache
def passages() -> tuple[str, ...]:
    """Passages of English prose, dialogue, reference and code, in a fixed order; sources in ``sample_text.md``."""
    text = Path(__file__).with_name("sample_text.txt").read_text("utf-8")
    return tuple(part.strip() for part in text.split("\f") if part.strip())


def token_blocks(model: LanguageModel, n_tokens: int, prepend_bos: bool, length: int = 128) -> Tensor:
    """The first ``n_tokens`` (or all) of the sample as whole blocks of equal length: int64 ``[n, length]``."""
    length = min(length, model.window)
    blocks: list[tuple[int, ...]] = []
    for passage in passages():
        if len(blocks) * length >= n_tokens:
            break
        ids = model.tokens(passage, prepend_bos).ids
        if len(ids) >= length:
            blocks.append(ids[:length])
    return torch.tensor(blocks)
