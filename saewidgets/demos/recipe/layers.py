"""Which layer the demo SAE belongs on: one small SAE a layer at equal budget, measured alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from saewidgets.analysis.harvest import OUTLIER
from saewidgets.analysis.maxima import maxima
from saewidgets.demos.recipe.harvest import Shards, harvest, where_of
from saewidgets.demos.recipe.train import figures, train
from saewidgets.lm.capture import logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.session import Session

LAYERS = (10, 12, 15, 20)
SHARDS, TOKENS = 9, 2_000_000
D_SAE, K = 8192, 40
FEATURES, NEW_TOKENS = 24, 32
PROMPTS = ("Tell me about your day.", "Write a short story about a walk.")


def compare(model: LanguageModel, work: Path, layers: Sequence[int] = LAYERS) -> list[dict[str, float]]:
    """Train and measure one SAE a layer; ``layers.json`` keeps the table."""
    hooks = [f"blocks.{layer}.hook_resid_post" for layer in layers]
    train_paths, held_out = harvest(model, work, "train", hooks, range(SHARDS)), harvest(model, work, "held_out", hooks)
    table = []
    for layer, hook in zip(layers, hooks, strict=True):
        folder = work / "layers" / str(layer)
        sae = train(Shards(train_paths[hook]), folder, hook_name=hook, d_sae=D_SAE, k=K, tokens=TOKENS)
        found = figures(model, sae, held_out[hook], work / "tokens.npz")
        table.append({"layer": layer, **found, **steering(model, sae, held_out[hook], work / "tokens.npz")})
        (work / "layers.json").write_text(json.dumps(table, indent=1))
        print(table[-1], flush=True)
    return table


def steering(
    model: LanguageModel, sae: SparseAutoencoder, held_out: Sequence[Path], tokens: Path, strength: float = 1.5
) -> dict[str, float]:
    """What clamping random features does to text: more of their own tokens, at what cost in sense.

    ``lift``: share of written tokens that stand at or just behind the feature's twenty strongest places, less that
    share in the unsteered text. ``nats``: mean loss of the steered text under the bare model. ``distinct``: share of
    its bigrams that are different.
    """
    x = np.concatenate([np.load(path) for path in held_out])
    where = np.concatenate([np.load(where_of(path)) for path in held_out])
    norms = np.linalg.norm(x.astype(np.float32), axis=1)
    usual = norms <= OUTLIER * np.median(norms)  # on an attention sink nearly every feature fires
    x, where = x[usual], where[usual]
    ids = np.load(tokens)["held_out"].astype(np.int64)
    values, indices = (t.numpy() for t in sae.encode(torch.from_numpy(x).float()))
    counts = np.bincount(indices[values > 0], minlength=sae.d_sae)
    usable = np.flatnonzero((counts >= 20) & (counts < len(x) / 50))
    chosen = np.random.default_rng(0).choice(usable, FEATURES, replace=False)
    session = Session(model, sae, maxima=maxima([torch.from_numpy(x).float()], sae))
    bare = {prompt: _written(session, prompt, {}) for prompt in PROMPTS}
    rows = []
    for feature in chosen:
        row, place = np.nonzero((indices == feature) & (values > 0))
        best = where[row[np.argsort(-values[row, place], kind="stable")[:20]]]
        window, position = best >> 16, best & 0xFFFF
        own = {*ids[window, position].tolist(), *ids[window, np.minimum(position + 1, ids.shape[1] - 1)].tolist()}
        for prompt in PROMPTS:
            written = _written(session, prompt, {int(feature): strength})
            lift = _share(written, own) - _share(bare[prompt], own)
            pairs = list(itertools.pairwise(written))
            rows.append((lift, _nats(model, prompt, written), len(set(pairs)) / max(1, len(pairs))))
    lift, nats, distinct = np.mean(rows, axis=0).round(3).tolist()
    plain = np.mean([_nats(model, prompt, written) for prompt, written in bare.items()])
    return {"lift": lift, "nats": nats, "distinct": distinct, "nats_unsteered": round(float(plain), 3)}


def _written(session: Session, prompt: str, strengths: dict[int, float]) -> list[int]:
    chat = [{"role": "user", "content": prompt}]
    text = session.generate(chat, strengths, max_new_tokens=NEW_TOKENS)
    return session.model.tokenizer(text, add_special_tokens=False)["input_ids"]


def _share(written: list[int], own: set[int]) -> float:
    return sum(token in own for token in written) / max(1, len(written))


def _nats(model: LanguageModel, prompt: str, written: list[int]) -> float:
    front = list(model.tokens([{"role": "user", "content": prompt}], add_generation_prompt=True).ids)
    if not written:
        return float("nan")
    logits = logits_with(model, torch.tensor([front + written]), "blocks.0.hook_resid_post", None)[0]
    scores = logits[len(front) - 1 : -1].float().log_softmax(-1)
    return -float(scores[torch.arange(len(written)), torch.tensor(written)].mean())
