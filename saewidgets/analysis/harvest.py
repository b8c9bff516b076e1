"""Text in, activations to learn from out: the model read window by window, from any place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.texts import documents
from saewidgets.lm.tokens import Text, tokenize

OUTLIER = 4.0  # medians of the norm; tokens above it are sinks, not language (DESIGN §4)
SHORTEST = 8  # tokens; shorter remainders of a text are not worth a window
READ = 16  # windows read at once
CPU_ROWS = 4  # windows run at once on a CPU: no slower there, and the peak is a fifth of a GB lower


class TextActivations:
    """Activations of a corpus at one hook, as a `Source` for training.

    Position 0 of a window is left out where it is BOS, and so is every token above 4 median norms.

    Args:
        model: what reads.
        hook_name: where activations are taken.
        texts: what `saewidgets.lm.texts.documents` takes. A list or a file can be read again, so training may go
            round; an iterator ends.
        context_size: tokens a window, BOS included.
        prepend_bos: whether windows begin with BOS.

    Raises:
        ValueError: on reading, when activations are not finite, or on `go_to`, when the texts are not the same.

    Example:
        >>> x = TextActivations(model, "blocks.15.hook_resid_post", texts).read()
    """

    def __init__(
        self,
        model: LanguageModel,
        hook_name: str,
        texts: Any,
        *,
        context_size: int = 256,
        prepend_bos: bool = True,
    ) -> None:
        model.hook(hook_name)
        self.model, self.hook_name, self.texts = model, hook_name, texts
        self.context_size = max(SHORTEST + 1, min(context_size, model.window))
        self.prepend_bos = prepend_bos
        self._again = not isinstance(texts, Iterator)
        self._begin()

    def count(self) -> int:
        """Tokens the texts hold, position 0 of each window left out: one pass over the text, without the model."""
        if not self._again:
            raise ValueError("an iterator of texts can be read only once: say how many training_tokens to take of it")
        return sum(len(window) - 1 for window in self._windows())

    def read(self) -> Tensor | None:
        """Activations of the next sixteen windows, ``[n, d_in]``; goes round where the texts can be read again."""
        batch = self._take(READ)
        if not batch and self._again and self._taken:
            self._begin()
            batch = self._take(READ)
        return self._activations(batch) if batch else None

    def place(self) -> dict[str, Any]:
        """Windows read in this round, and a digest of them."""
        return {"windows": self._taken, "digest": self._digest.hexdigest()}

    def go_to(self, place: dict[str, Any]) -> None:
        """Continue behind ``place``; the text before it is tokenized again, not run.

        Raises:
            ValueError: when the texts differ from those read before.
        """
        if not self._again and self._taken > place["windows"]:
            raise ValueError("an iterator of texts cannot go back: pass a fresh one, or a list or file")
        if self._again:
            self._begin()
        self._take(place["windows"] - self._taken)
        if self._digest.hexdigest() != place["digest"]:
            raise ValueError(
                "the texts are not those this training began with: pass the same texts in the same order, or another "
                "folder"
            )

    def _begin(self) -> None:
        self._stream = self._windows()
        self._taken = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def _take(self, count: int) -> list[list[int]]:
        batch = [window for _, window in zip(range(count), self._stream, strict=False)]
        for window in batch:
            self._digest.update(np.array(window, np.int32).tobytes())
        self._taken += len(batch)
        return batch

    def _windows(self) -> Iterator[list[int]]:
        found = documents(self.texts)  # now, not on the first read: things that are no texts are told at once
        return (window for text in found for window in self._cut(text))

    def _cut(self, text: Text) -> Iterator[list[int]]:
        if isinstance(text, str) and not text.strip():
            return
        tokens = tokenize(self.model.tokenizer, text, self.prepend_bos)
        ids, front = list(tokens.ids), int(tokens.has_bos)
        step = self.context_size - front
        for start in range(front, len(ids), step):
            piece = ids[start : start + step]
            if len(piece) >= SHORTEST:
                yield [*ids[:front], *piece]

    def _activations(self, batch: Sequence[list[int]]) -> Tensor:
        longest = max(map(len, batch))
        ids = torch.zeros(len(batch), longest, dtype=torch.int64)
        keep = torch.zeros(len(batch), longest, dtype=torch.bool)
        bos = self.model.tokenizer.bos_token_id
        for row, window in enumerate(batch):
            ids[row, : len(window)] = torch.tensor(window)
            keep[row, int(window[0] == bos) : len(window)] = True
        # Padding stands behind the text, where causal attention cannot see it.
        rows = CPU_ROWS if self.model.device.type == "cpu" else READ
        parts = ids.split(rows)
        x = self.model.worker.run(lambda stop: torch.cat([capture(self.model, part, self.hook_name) for part in parts]))
        kept = x[keep.to(x.device)]
        if not torch.isfinite(kept).all():
            raise ValueError(f"{self.hook_name} gave NaN or infinity: check the model's weights and dtype")
        norms = kept.float().norm(dim=1)
        return kept[norms <= OUTLIER * norms.median()]
