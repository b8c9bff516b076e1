"""Everything a feature card shows, from the index and the weights; nothing runs the model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from saewidgets.analysis.tokens import token_acts
from saewidgets.index.index import CorpusExample, Index
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.tokens import readable, token_bytes
from saewidgets.records import (
    Example,
    FeatureCardData,
    FeatureList,
    FeatureStats,
    Neuron,
    Provenance,
    Related,
    TokenShare,
    TokenWeight,
)
from saewidgets.sae.autoencoder import SparseAutoencoder

RELATED = 10
RARE = 20  # firings below which a card says that there are few
DENSE = 0.1  # of all tokens; above, a feature seldom means one thing


class Cards:
    """Makes the cards of one index; activations are feature_acts · ‖W_dec‖, comparable across features.

    Args:
        index: the corpus index.
        model: the model.
        sae: its SAE.
        provenance: shown on the cards.
    """

    def __init__(self, index: Index, model: LanguageModel, sae: SparseAutoencoder, provenance: Provenance) -> None:
        self.index, self.model, self.sae, self.provenance = index, model, sae, provenance
        self.norms = sae.decoder_norms().cpu().numpy()
        self._pieces: dict[int, bytes] = {}

    @property
    def all_features(self) -> FeatureList:
        """A few numbers of every feature."""
        index = self.index
        return FeatureList(index.density, index.maximum * self.norms, index.labels, np.array(index.label_scores))

    def card(self, feature: int) -> FeatureCardData:
        """The card of a feature; one that never fires has no examples and says so."""
        index, fires = self.index, bool(self.index.counts[feature])
        shown = index.examples(feature)
        self._know(shown, feature)
        up, down = self._logit_weights(feature)
        return FeatureCardData(
            stats=self._stats(feature),
            top=[self._example(example, feature) for example in shown if example.interval == 0],
            intervals=[self._example(example, feature) for example in shown if example.interval],
            promoted=up,
            suppressed=down,
            tokens=[TokenShare(self._string(t), share, base) for t, share, base in index.distinctive(feature)],
            neurons=self._neurons(feature),
            coactive=self._related(index.coactive(feature), feature) if fires else [],
            neighbors=self._related(self._cosines(feature), feature),
            notes=self._notes(feature),
            provenance=self.provenance,
        )

    def labels_of(self, labeller: Callable[[FeatureCardData], Any], limit: int | None = None) -> dict[int, Any]:
        """What a callable calls the features that fire, the ``limit`` most frequent first."""
        from tqdm.auto import tqdm

        counts = self.index.counts
        order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())][:limit]
        return {int(f): labeller(self.card(int(f))) for f in tqdm(order, desc="labels", unit="feature")}

    def _stats(self, feature: int) -> FeatureStats:
        index, norm = self.index, float(self.norms[feature])
        histogram, edges = index.histogram(feature)
        own = feature in index.own_labels
        label = index.own_labels.get(feature, "") or index.automatic_labels[feature]
        return FeatureStats(
            feature=feature,
            count=int(index.counts[feature]),
            n_tokens=index.n_tokens,
            maximum=float(index.maximum[feature]) * norm,
            mean=float(index.mean[feature]) * norm,
            histogram=histogram,
            edges=edges * norm,
            label=label,
            label_score=float("nan") if own else float(index.label_scores[feature]),
            label_source="you" if own else "automatic" if label else "",
        )

    def _example(self, found: CorpusExample, feature: int) -> Example:
        strings, split = readable([self._pieces[int(token)] for token in found.ids])
        skipped = np.zeros(len(found.ids), bool)
        skipped[0] = int(found.ids[0]) == self.model.tokenizer.bos_token_id
        return Example(
            str_tokens=strings,
            activations=found.acts * self.norms[feature],
            position=found.position,
            interval=found.interval,
            ids=found.ids,
            skipped=skipped,
            split=split,
            source=found.source or f"window {found.window}",
        )

    def _know(self, shown: list[CorpusExample], feature: int) -> None:
        """Look up, in one call, the bytes of every token that the card names."""
        ids = {int(token) for example in shown for token in example.ids}
        ids |= {token for token, _, _ in self.index.distinctive(feature)}
        for name in ("up", "down"):
            found = self.index.meaning(name)
            ids |= set() if found is None else set(found[feature].tolist())
        unknown = sorted(ids - self._pieces.keys())
        self._pieces |= zip(unknown, token_bytes(self.model.tokenizer, unknown), strict=True)

    def _string(self, token: int) -> str:
        return readable([self._pieces[token]])[0][0]

    def _logit_weights(self, feature: int) -> tuple[list[TokenWeight], list[TokenWeight]]:
        found = [self.index.meaning(name) for name in ("up", "up_weight", "down", "down_weight")]
        if found[0] is None:
            return [], []
        norm = float(self.norms[feature])
        up, up_weight, down, down_weight = (part[feature] for part in found if part is not None)
        pairs = ((up, up_weight), (down, down_weight))
        both = [
            [TokenWeight(self._string(int(t)), float(w) / norm) for t, w in zip(tokens, weights, strict=True)]
            for tokens, weights in pairs
        ]
        return both[0], both[1]

    def _neurons(self, feature: int) -> list[Neuron]:
        numbers, correlations = self.index.meaning("neurons"), self.index.meaning("neuron_correlations")
        if numbers is None or correlations is None:
            return []
        pairs = zip(numbers[feature], correlations[feature], strict=True)
        return [Neuron(int(neuron), float(value)) for neuron, value in pairs if neuron >= 0]

    @torch.inference_mode()
    def _cosines(self, feature: int) -> np.ndarray:
        direction = self.sae.W_dec[feature].detach().float()
        cosines = (self.sae.W_dec.detach() @ direction.to(self.sae.dtype)).float().cpu().numpy()
        return cosines / np.maximum(self.norms * self.norms[feature], 1e-12)

    def _related(self, values: np.ndarray, feature: int) -> list[Related]:
        values = np.where(np.isfinite(values), values, -np.inf)
        values[feature] = -np.inf
        best = np.lexsort((np.arange(len(values)), -values))[:RELATED]
        labels = self.index.labels
        return [Related(int(f), float(values[f]), labels[int(f)]) for f in best if values[f] > 0]

    def _notes(self, feature: int) -> list[str]:
        count, n = int(self.index.counts[feature]), self.index.n_tokens
        if not count:
            return [f"It never fired on the {n:,} tokens scanned."]
        if count < RARE:
            return [f"It fired on {count} of {n:,} tokens only: read its examples with care."]
        if count > DENSE * n:
            return [f"It fires on {100 * count / n:.0f} % of all tokens: such features seldom mean one thing."]
        return []


def sentence(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    text: str,
    feature: int,
    prepend_bos: bool,
    stop: threading.Event | None = None,
) -> Example:
    """One feature on every token of a text of the reader's own."""
    acts = token_acts(model, sae, [text], hook_name, prepend_bos=prepend_bos, stop=stop)
    values = np.where(acts.skipped, 0, acts.feature_acts(feature)).astype(np.float32)
    return Example(
        str_tokens=acts.str_tokens,
        activations=values,
        position=int(values.argmax()),
        ids=np.array(model.tokens(text, prepend_bos).ids, np.int64),
        skipped=acts.skipped,
        split=acts.split,
    )
