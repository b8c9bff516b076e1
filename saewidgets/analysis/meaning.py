"""What a scan cannot know without the weights: promoted tokens, correlated neurons, labels; kept beside the index."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from saewidgets.analysis.labels import strongest_tokens
from saewidgets.analysis.logits import K, Unembedding, has_logit_weights, usual_tokens
from saewidgets.analysis.neurons import neuron_correlations
from saewidgets.index import store
from saewidgets.index.index import Index
from saewidgets.index.selection import priority
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.tokens import readable, token_bytes
from saewidgets.sae.autoencoder import SparseAutoencoder

NEURON_TOKENS = 100_000  # of the corpus run again for the neurons, and at most a twentieth of it
WELL_SAMPLED = 20  # tokens of corpus for each of the vocabulary, from which on unseen tokens count as rare
SHOWN = 3  # tokens of each kind in a label
STRONG = 0.5  # of the strongest promoted token's weight, to be in a label


def add_meaning(
    folder: Path,
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    *,
    neuron_tokens: int = NEURON_TOKENS,
    stop: threading.Event | None = None,
) -> Index:
    """Complete the index in ``folder``, where that was not done yet, and open it.

    Args:
        folder: what `saewidgets.index.scan.scan` wrote.
        model: the model.
        sae: its SAE.
        hook_name: where the SAE reads.
        neuron_tokens: on how many tokens of the corpus neurons are compared with features.
        stop: set it to end the work; the statistics are kept.
    """
    index = Index(folder)
    if "meaning.safetensors" in index.about["files"]:
        return index
    arrays: dict[str, np.ndarray] = {}
    bar = np.zeros(sae.d_sae)
    if has_logit_weights(model, sae):
        unembedding = Unembedding(model, counted_tokens(index, model))
        found, bar = unembedding.top(sae.W_dec, K, stop), unembedding.by_chance() * sae.decoder_norms().cpu().numpy()
        size = np.uint16 if max(found.up.max(), found.down.max()) < 1 << 16 else np.int32
        arrays |= {"up": found.up.astype(size), "up_weight": found.up_weight.astype(np.float16)}
        arrays |= {"down": found.down.astype(size), "down_weight": found.down_weight.astype(np.float16)}
    windows = _some_windows(index, min(neuron_tokens, index.n_tokens // 20 + 1))
    neurons, correlations = neuron_correlations(model, sae, hook_name, windows, stop)
    arrays |= {"neurons": neurons.astype(np.int16 if neurons.max() < 1 << 15 else np.int32)}
    arrays |= {"neuron_correlations": correlations.astype(np.float16)}
    strongest = strongest_tokens(index)
    arrays |= {"label_tokens": strongest.tokens, "label_scores": strongest.scores}
    labels = _labels(index, model, strongest.tokens, arrays.get("up"), arrays.get("up_weight"), bar)
    store.write_files(folder, {"meaning.safetensors": store.pack(arrays)}, {"labels": labels})
    return Index(folder)


def counted_tokens(index: Index, model: LanguageModel) -> np.ndarray:
    """Tokens that logit weights are read for, bool ``[vocab]``: where the corpus is large enough, those it holds."""
    usual = usual_tokens(model)
    if index.n_tokens < WELL_SAMPLED * len(usual):
        return usual
    seen = np.zeros(len(usual), bool)
    counts = index.token_counts[: len(usual)]
    seen[: len(counts)] = counts > 0
    return usual & seen


def named_tokens(index: Index) -> set[int]:
    """Every token that the index says a feature fires on or promotes."""
    tables = [index.distinctive_tokens[0], index.meaning("up")]
    return {int(token) for table in tables if table is not None for token in np.unique(table) if token >= 0}


def _some_windows(index: Index, n_tokens: int) -> list[np.ndarray]:
    """A seeded choice of the windows that examples lie in."""
    numbers, windows = index.windows()
    order = np.argsort(priority(numbers))
    lengths = np.array([len(windows[at]) for at in order])
    return [windows[at] for at in order[: int(np.searchsorted(np.cumsum(lengths), n_tokens)) + 1]]


def _labels(
    index: Index,
    model: LanguageModel,
    tokens: np.ndarray,
    up: np.ndarray | None,
    weight: np.ndarray | None,
    bar: np.ndarray,
) -> list[str]:
    fires_on = [[token for token in row if token >= 0] for row in tokens.tolist()]
    promotes = [_promoted(feature, up, weight, bar[feature]) for feature in range(index.d_sae)]
    words = token_words(model, {token for tokens in (*fires_on, *promotes) for token in tokens})
    fires = index.counts > 0
    return [label_of(words, *both) if fires[f] else "" for f, both in enumerate(zip(fires_on, promotes, strict=True))]


def _promoted(feature: int, up: np.ndarray | None, weight: np.ndarray | None, bar: float) -> list[int]:
    """The first few tokens that a feature promotes about as much as the first, and more than chance would."""
    if up is None or weight is None:
        return []
    strong = (weight[feature] > bar) & (weight[feature] >= STRONG * weight[feature][0])
    return up[feature][strong].tolist()


def label_of(words: Mapping[int, str], fires_on: Iterable[int], promotes: Iterable[int]) -> str:
    """``"bridge, span → toll, crossing"``: what it fires on → what it promotes; either part may be missing."""
    parts = (_each_once(words[token] for token in tokens)[:SHOWN] for tokens in (fires_on, promotes))
    fires, promoted = (", ".join(part) for part in parts)
    return " ".join(part for part in (fires, f"→ {promoted}" if promoted else "") if part)


def _each_once(words: Iterable[str]) -> list[str]:
    seen: dict[str, str] = {}
    for word in words:
        seen.setdefault(word.casefold(), word)
    return list(seen.values())


def token_words(model: LanguageModel, tokens: Iterable[int]) -> dict[int, str]:
    """Tokens as a reader would write them: without spaces around, white space as ␣ ↵ ⇥."""
    ids = sorted(set(tokens))
    written = (readable([piece])[0][0] for piece in token_bytes(model.tokenizer, ids))
    white = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})
    return {i: text.strip() or text.translate(white) for i, text in zip(ids, written, strict=True)}
