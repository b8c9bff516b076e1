"""Which layer the demo SAE belongs on: one small SAE a layer at equal budget, measured alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from saewidgets.analysis.harvest import OUTLIER
from saewidgets.analysis.maxima import maxima
from saewidgets.demos.recipe import screening
from saewidgets.demos.recipe.concepts import CONCEPTS
from saewidgets.demos.recipe.effect import count
from saewidgets.demos.recipe.harvest import Shards, harvest, side_by_side
from saewidgets.demos.recipe.matching import strongest
from saewidgets.demos.recipe.train import figures, train
from saewidgets.lm.capture import logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.session import Session

LAYERS = (10, 15, 20)
SHARDS, TOKENS = 12, 2_000_000
D_SAE, K = 8192, 40
PUSHES = (0.2, 0.35)
"""How long a change is, in median norms of the layer's residual stream."""


def compare(
    model: LanguageModel, work: Path, layers: Sequence[int] = LAYERS, workers: int = 2
) -> list[dict[str, float]]:
    """Train and measure one SAE a layer; ``layers.json`` keeps the table."""
    hooks = [f"blocks.{layer}.hook_resid_post" for layer in layers]
    side_by_side(work, hooks, [("train", number) for number in range(SHARDS)], workers)
    train_paths, held_out = harvest(model, work, "train", hooks, range(SHARDS)), harvest(model, work, "held_out", hooks)
    table = []
    for layer, hook in zip(layers, hooks, strict=True):
        folder = work / "layers" / str(layer)
        sae = train(Shards(train_paths[hook]), folder, hook_name=hook, d_sae=D_SAE, k=K, tokens=TOKENS)
        found = figures(model, sae, held_out[hook], work / "tokens.npz")
        session = Session(model, sae, maxima=_maxima(sae, held_out[hook]))
        table += [{"layer": layer, **found, **row} for row in steering(session, folder)]
        (work / "layers.json").write_text(json.dumps(table, indent=1))
        print(*table[-len(PUSHES) :], sep="\n", flush=True)
    return table


def steering(session: Session, folder: Path) -> list[dict[str, float]]:
    """What clamping does to text, a row for each of `PUSHES`: every concept's best feature, on neutral prompts.

    ``words``: a concept's words a hundred words in the texts of its own feature, ``elsewhere``: in those of all the
    other features, both means over concepts, promoted tokens struck. ``concepts``: how many have `screening.HITS`
    words, `screening.DIFFERENT` ones, and three times what the other texts have. ``nats``: mean loss of the texts
    under the bare model, ``nats_unsteered``: of the bare model's own.
    """
    own = matched(session)
    steerer = session._steerer([], measured=True)
    prompts = [session._prompt(prompt, None) for prompt in screening.PROMPTS]
    bare = [one.steered.text for one in steerer.write(prompts, [()] * len(prompts), screening.WRITTEN)]
    rows = []
    for push in PUSHES:
        texts = screening.write(session, steerer, list(own.values()), folder / f"steered_{push}.jsonl", push)
        length = {feature: sum(count(text, ())[1] for text in written) for feature, written in texts.items()}
        counts = {(row.concept, row.feature): row for row in screening.counted(session, texts, CONCEPTS)}
        here, there, enough = [], [], 0
        for concept, feature in own.items():
            mine = counts.get((concept, feature))
            others = sum(row.hits for (name, at), row in counts.items() if name == concept and at != feature)
            here.append(100 * (mine.hits if mine else 0) / max(length[feature], 1))
            there.append(100 * others / max(sum(length.values()) - length[feature], 1))
            reached = mine is not None and mine.hits >= screening.HITS and mine.different >= screening.DIFFERENT
            enough += reached and here[-1] >= 3 * there[-1]
        rows.append(
            {
                "push": push,
                "words": round(float(np.mean(here)), 3),
                "elsewhere": round(float(np.mean(there)), 3),
                "concepts": enough,
                "nats": round(_nats(session, list(texts.values())), 3),
                "nats_unsteered": round(_nats(session, [bare]), 3),
            }
        )
    return rows


def matched(session: Session) -> dict[str, int]:
    """Every concept's feature: the one that fires most on its sentences and least on others'; none stands twice."""
    activity = strongest(session, CONCEPTS)
    contrast = activity - (activity.sum(0) - activity) / (len(CONCEPTS) - 1)
    found: dict[str, int] = {}
    for at, feature in zip(*np.unravel_index(np.argsort(-contrast, axis=None), contrast.shape), strict=True):
        if CONCEPTS[at].name not in found and int(feature) not in found.values():
            found[CONCEPTS[at].name] = int(feature)
        if len(found) == len(CONCEPTS):
            break
    return found


def _maxima(sae: SparseAutoencoder, paths: Sequence[Path]) -> np.ndarray:
    """Largest activations on held-out text, without the attention sinks on which nearly every feature fires."""
    x = torch.from_numpy(np.concatenate([np.load(path) for path in paths])).float()
    norms = x.norm(dim=1)
    return maxima([x[norms <= OUTLIER * norms.median()]], sae)


@torch.inference_mode()
def _nats(session: Session, texts: Sequence[Sequence[str]]) -> float:
    """Mean loss a token of texts, each behind its prompt, under the bare model."""
    model, losses = session.model, []
    for written in texts:
        for prompt, text in zip(screening.PROMPTS, written, strict=True):
            front = list(session._prompt(prompt, None).ids)
            ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
            if ids:
                logits = logits_with(model, torch.tensor([front + ids]), session.hook_name, None)[0]
                scores = logits[len(front) - 1 : -1].float().log_softmax(-1)
                losses.append(-float(scores[torch.arange(len(ids)), torch.tensor(ids)].mean()))
    return float(np.mean(losses))
