"""Where the features of a shard's tokens come from: the model and its SAE, or activations already on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from saewidgets.index.corpus import PLACE, Shard
from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sinks import sinks
from saewidgets.lm.worker import go_on
from saewidgets.sae.activations import SparseActs
from saewidgets.sae.autoencoder import SparseAutoencoder

BATCH_TOKENS = {"cpu": 1024}  # tokens run at once: on a CPU under a second, so that a scan can be stopped
DEVICE_BATCH_TOKENS = 16_384
ENCODE_ROWS = 2048


@dataclass(frozen=True, eq=False)
class Firings:
    """Features on the tokens of a shard.

    Attributes:
        keys: int64 ``[n]``, window << 16 | position of each token, rising.
        acts: native feature_acts, float32 CSR ``[n, d_sae]``, no stored zeros.
    """

    keys: np.ndarray
    acts: scipy.sparse.csr_array


class Reader(Protocol):
    """Reads shards, one after another or each in a worker of its own."""

    @property
    def d_sae(self) -> int:
        """Number of features."""
        ...

    def read(self, shard: Shard, stop: threading.Event | None = None) -> Firings:
        """The features of every token that counts: BOS and attention sinks are left out."""
        ...


class ModelReader:
    """Runs the model up to the hook, and the SAE's encoder.

    Windows of similar length run together, so a shard's batches depend on nothing but the shard. When a device runs
    out of memory, the batch is halved and the shard goes on.
    """

    def __init__(self, model: LanguageModel, sae: SparseAutoencoder, hook_name: str) -> None:
        model.hook(hook_name)
        self.model, self.sae, self.hook_name = model, sae, hook_name
        self.batch_tokens = BATCH_TOKENS.get(model.device.type, DEVICE_BATCH_TOKENS)

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.sae.d_sae

    @torch.inference_mode()
    def read(self, shard: Shard, stop: threading.Event | None = None) -> Firings:
        """The features of every token that counts."""
        return gather((self._run(shard, batch) for batch in self._batches(shard, stop)), self.d_sae)

    def _batches(self, shard: Shard, stop: threading.Event | None) -> Iterator[list[int]]:
        lengths = np.array([len(window) for window in shard.windows])
        waiting = list(np.argsort(lengths, kind="stable"))
        while waiting:
            go_on(stop)
            size = max(1, self.batch_tokens // int(lengths[waiting[0]]))
            while size > 1 and size * int(lengths[waiting[:size][-1]]) > self.batch_tokens:
                size -= 1
            yield [int(window) for window in waiting[:size]]
            waiting = waiting[size:]

    def _run(self, shard: Shard, batch: list[int]) -> tuple[np.ndarray, SparseActs]:
        try:
            return self._features(shard, batch)
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
            torch.cuda.empty_cache()
            self.batch_tokens = max(1, self.batch_tokens // 2)
        half = len(batch) // 2
        parts = [self._run(shard, part) for part in (batch[:half], batch[half:])]
        return np.concatenate([keys for keys, _ in parts]), _stacked([acts for _, acts in parts])

    def _features(self, shard: Shard, batch: list[int]) -> tuple[np.ndarray, SparseActs]:
        ids, keep = self._padded([shard.windows[window] for window in batch])
        x = capture(self.model, ids, self.hook_name)
        for row, window in enumerate(batch):
            length = len(shard.windows[window])
            keep[row, :length] &= ~sinks(x[row, :length]).cpu()
        place = torch.arange(ids.shape[1])
        keys = (torch.tensor(batch)[:, None] + shard.first << PLACE) | place
        kept = x[keep.to(x.device)].to(self.sae.device)
        values, indices = self.sae.encode(kept)
        return keys[keep].numpy(), SparseActs(values.cpu(), indices.cpu())

    def _padded(self, windows: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Padding stands behind the text, where causal attention cannot see it."""
        bos = self.model.tokenizer.bos_token_id
        ids = torch.zeros(len(windows), max(map(len, windows)), dtype=torch.int64)
        keep = torch.zeros(ids.shape, dtype=torch.bool)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.from_numpy(window.astype(np.int64))
            keep[row, int(window[0] == bos) : len(window)] = True
        return ids, keep


class StoredReader:
    """Encodes activations that were already taken, so that the model need not run again.

    Args:
        sae: the SAE.
        rows: gives for a shard the keys int64 ``[n]`` and the activations ``[n, d_in]`` of its tokens, in any order;
            what should not count is not among them.
    """

    def __init__(self, sae: SparseAutoencoder, rows: Callable[[Shard], tuple[np.ndarray, np.ndarray]]) -> None:
        self.sae, self._rows = sae, rows

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.sae.d_sae

    @torch.inference_mode()
    def read(self, shard: Shard, stop: threading.Event | None = None) -> Firings:
        """The features of every stored token of the shard."""
        keys, acts = self._rows(shard)
        return gather(self._encoded(keys, acts, stop), self.d_sae)

    def _encoded(
        self, keys: np.ndarray, acts: np.ndarray, stop: threading.Event | None
    ) -> Iterator[tuple[np.ndarray, SparseActs]]:
        for start in range(0, len(keys), ENCODE_ROWS):
            go_on(stop)
            x = torch.from_numpy(np.array(acts[start : start + ENCODE_ROWS])).to(self.sae.device, self.sae.dtype)
            values, indices = self.sae.encode(x)
            yield keys[start : start + ENCODE_ROWS], SparseActs(values.cpu(), indices.cpu())


def gather(parts: Iterable[tuple[np.ndarray, SparseActs]], d_sae: int) -> Firings:
    """Join batches into one sparse matrix, rows in the order of their keys."""
    keys: list[np.ndarray] = []
    values: list[np.ndarray] = []
    features: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for at, acts in parts:
        active = acts.values > 0
        keys.append(at)
        counts.append(active.sum(-1).numpy())
        values.append(acts.values[active].float().numpy())
        features.append(acts.indices[active].to(torch.int32).numpy())
    key = np.concatenate([np.zeros(0, np.int64), *keys])
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *counts]))])
    value = np.concatenate([np.zeros(0, np.float32), *values])
    feature = np.concatenate([np.zeros(0, np.int32), *features])
    order = np.argsort(key, kind="stable")
    acts = scipy.sparse.csr_array((value, feature, indptr), shape=(len(key), d_sae))[order]
    return Firings(key[order], acts)


def _stacked(parts: list[SparseActs]) -> SparseActs:
    width = max(part.values.shape[-1] for part in parts)
    padded = [[torch.nn.functional.pad(t, (0, width - t.shape[-1])) for t in part] for part in parts]
    return SparseActs(torch.cat([p[0] for p in padded]), torch.cat([p[1] for p in padded]))
