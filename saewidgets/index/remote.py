"""The part of a scan that runs in another process: the model is loaded there once, from its path, and checked."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saewidgets.index.corpus import Shard
from saewidgets.index.reader import ModelReader
from saewidgets.index.selection import Bars
from saewidgets.index.summary import summarise
from saewidgets.lm.load import load_model
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder

_readers: dict[Workers, ModelReader] = {}
_loading = threading.Lock()


@dataclass(frozen=True)
class Workers:
    """What a worker needs to read shards; calling it reads one. A few strings, whatever the model's size.

    Attributes:
        model: folder or hub name, the same for every worker.
        model_hash: what the loaded model must have.
        sae: folder of the SAE in our own format, on a disk that every worker sees.
        sae_hash: what the loaded SAE must have.
        hook_name: where the SAE reads.
        dtypes: of model and SAE, as in ``"float32"``.
        device: where workers run the model.
        seed: of the samples.
    """

    model: str
    model_hash: str
    sae: str
    sae_hash: str
    hook_name: str
    dtypes: tuple[str, str]
    device: str
    seed: int

    def __call__(self, shard: Shard, bars: Bars | None) -> dict[str, np.ndarray]:
        """The summary of a shard, as arrays."""
        reader = _reader(self)
        firings = reader.model.worker.run(lambda stop: reader.read(shard, stop))
        return summarise(shard, firings, bars, self.seed).arrays()


def workers(
    model: LanguageModel, sae: SparseAutoencoder, hook_name: str, folder: Path, device: str, seed: int
) -> Workers:
    """Describe a model and an SAE to workers; the SAE is written into ``folder``.

    Raises:
        ValueError: when the model was not loaded from a folder or by name, so that workers could not load it.
    """
    if not model.source:
        raise ValueError(
            "executor= needs a model that workers can load: pass sw.load the path of its folder, not an object"
        )
    files.save(sae, folder)
    dtypes = (str(model.module.dtype).removeprefix("torch."), str(sae.dtype).removeprefix("torch."))
    return Workers(model.source, model.hash(), str(folder.absolute()), sae.hash(), hook_name, dtypes, device, seed)


def _reader(asked: Workers) -> ModelReader:
    with _loading:
        if asked not in _readers:
            _readers.clear()  # one model at a time
            _readers[asked] = _load(asked)
        return _readers[asked]


def _load(asked: Workers) -> ModelReader:
    model_dtype, sae_dtype = (getattr(torch, name) for name in asked.dtypes)
    model = load_model(asked.model, device=asked.device, dtype=model_dtype)
    sae = files.load(asked.sae, device=asked.device, dtype=sae_dtype)
    for what, found, expected in (("model", model.hash(), asked.model_hash), ("SAE", sae.hash(), asked.sae_hash)):
        if found != expected:
            raise ValueError(f"a worker loaded another {what} than the session's: hash {found}, expected {expected}")
    return ModelReader(model, sae, asked.hook_name)
