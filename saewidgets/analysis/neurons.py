"""Which neurons of the layer's MLP go up and down with each feature."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

import numpy as np
import scipy.sparse
import torch

from saewidgets.index.reader import gather
from saewidgets.lm.capture import capture_many
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sinks import sinks
from saewidgets.lm.worker import go_on
from saewidgets.sae.activations import SparseActs
from saewidgets.sae.autoencoder import SparseAutoencoder

K = 5
LEAST = 3  # tokens a feature must fire on
HELD = 1 << 27  # neuron activations held at once (512 MB)
FEATURES = 1024  # correlated at once


def neuron_hook(model: LanguageModel, hook_name: str) -> str | None:
    """``mlp.hook_post`` of the layer of a hook, or None where the model has none."""
    layer = re.match(r"blocks\.(\d+)\.", hook_name)
    if layer is None:
        return None
    name = f"blocks.{layer[1]}.mlp.hook_post"
    try:
        model.hook(name)
    except ValueError:
        return None
    return name


@torch.inference_mode()
def neuron_correlations(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    windows: Sequence[np.ndarray],
    stop: threading.Event | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Each feature's most correlated neurons: int32 and float32 ``[d_sae, 5]``, by absolute Pearson correlation.

    Over the tokens of ``windows`` but BOS and attention sinks. −1 and 0 where a feature fires on fewer than three of
    them or the model has no such neurons; ties by neuron number.
    """
    name = neuron_hook(model, hook_name)
    neurons, correlations = np.full((sae.d_sae, K), -1, np.int32), np.zeros((sae.d_sae, K), np.float32)
    if name is None or not windows:
        return neurons, correlations
    acts, post = _read(model, sae, hook_name, name, windows, stop)
    post -= post.mean(0)
    size = np.sqrt(np.einsum("nd,nd->d", post, post, dtype=np.float64)).astype(np.float32)
    post /= np.where(size > 0, size, np.inf)  # a neuron that never changes correlates with nothing
    by_feature = acts.tocsc()
    for start in range(0, sae.d_sae, FEATURES):
        go_on(stop)
        part = by_feature[:, start : start + FEATURES]
        fires = np.diff(part.indptr)
        mean = np.asarray(part.sum(0)).ravel() / len(post)
        spread = np.sqrt(np.maximum(np.asarray(part.multiply(part).sum(0)).ravel() - len(post) * mean**2, 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.nan_to_num((part.T @ post) / spread[:, None], posinf=0, neginf=0)
        best = np.argsort(-np.abs(found), axis=1, kind="stable")[:, :K]
        kept = fires >= LEAST
        rows = np.flatnonzero(kept) + start
        neurons[rows, : best.shape[1]] = best[kept]
        correlations[rows, : best.shape[1]] = np.take_along_axis(found, best, 1)[kept]
    return neurons, correlations


def _read(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    name: str,
    windows: Sequence[np.ndarray],
    stop: threading.Event | None,
) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    from tqdm.auto import tqdm

    parts: list[tuple[np.ndarray, SparseActs]] = []
    post: list[np.ndarray] = []
    seen = 0
    for ids in tqdm(windows, desc="neurons", unit="window", leave=False):
        go_on(stop)
        found = capture_many(model, torch.from_numpy(np.asarray(ids, np.int64))[None], [hook_name, name])
        x = found[hook_name][0]
        keep = ~sinks(x)
        keep[0] &= int(ids[0]) != model.tokenizer.bos_token_id
        values, indices = sae.encode(x[keep].to(sae.device))
        parts.append((np.arange(seen, seen + len(values)), SparseActs(values.cpu(), indices.cpu())))
        post.append(found[name][0][keep].float().cpu().numpy())
        seen += len(values)
        if seen * post[0].shape[1] > HELD:
            break
    return gather(parts, sae.d_sae).acts, np.concatenate(post)
