"""An SAE on text: how well it reconstructs, what that costs the model, and how its features fire.

Against SAELens 6.54 (``sae_lens.evals.run_evals``), as measured in ``tests/analysis/test_evaluate_saelens.py``:

========================  ===========================================================================================
ours                      theirs
========================  ===========================================================================================
``l0``                    ``sparsity/l0``
``variance_explained``    ``reconstruction_quality/explained_variance`` (``fvu`` is 1 − it)
–                         ``explained_variance_legacy`` averages a ratio of every token and batch: left out, as they
                          call it incorrect themselves
``mse``                   ``reconstruction_quality/mse``: summed over d, averaged over tokens
``cosine``                ``reconstruction_quality/cossim``
``ce_bare``, ``ce_sae``   ``model_performance_preservation/ce_loss_without_sae`` and ``…/ce_loss_with_sae``
``ce_zero``               ``ce_loss_with_ablation``: zero at every position, the first one too
``ce_recovered_zero``     ``ce_loss_score``
``ce_mean`` and
``ce_recovered_mean``     none: the mean of the evaluated activations at every position but the first
``kl``                    ``model_behavior_preservation/kl_div_with_sae``
``density``               ``feature_density``
decoder cosines           none
========================  ===========================================================================================

We deviate in which positions count. SAELens leaves out every BOS, EOS and padding token wherever it stands, and by
default packs texts into full contexts with BOS between them; we leave out the first position of every window, BOS or
not (DESIGN §4: without BOS some other token takes the sink's role), and never join two texts. On windows that start
with BOS and hold no other special token the two agree. Transcoders are compared with what they should write, where
SAELens compares them with what they read.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from saewidgets.analysis.decoder import nearest
from saewidgets.analysis.fit import Firing, Fit, bare, kl_nats, nats, scored, spliced
from saewidgets.lm.capture import capture, capture_many, windows
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.texts import documents
from saewidgets.lm.worker import go_on
from saewidgets.records import Evaluation, Provenance
from saewidgets.sae.autoencoder import SparseAutoencoder

MAX_TOKENS, LOSS_TOKENS = 65_536, 16_384
BATCH_TOKENS = {"cpu": 1024}  # tokens run at once; elsewhere:
DEVICE_BATCH_TOKENS = 8192
LOGITS = {"cpu": 1 << 24}  # of one forward pass, though a single window may need more (two of 67 MB live); elsewhere:
DEVICE_LOGITS = 1 << 27


def evaluate(
    model: LanguageModel,
    sae: SparseAutoencoder,
    texts: Any,
    hook_name: str,
    *,
    prepend_bos: bool = True,
    max_tokens: int | None = MAX_TOKENS,
    loss_tokens: int | None = LOSS_TOKENS,
    stop: threading.Event | None = None,
) -> Evaluation:
    """Measure an SAE on the first ``max_tokens`` tokens of texts, and the model's loss on the first ``loss_tokens``.

    Every position but the first of each window counts, with no outlier filter. Sums run in float64; memory does not
    grow with the text, but for the token numbers of ``loss_tokens``.

    Args:
        model: the model.
        sae: its SAE or transcoder.
        texts: whatever `documents` takes.
        hook_name: where the SAE reads.
        prepend_bos: whether texts start with BOS (at most once, nothing where there is no BOS).
        max_tokens: how many tokens to count; None for all of ``texts``.
        loss_tokens: on how many of them to run the whole model, four times; None for all.
        stop: set it to end the work, at the next block of the model.

    Raises:
        ValueError: when there is no text of two tokens or more, the hook is unknown, or its width is not the SAE's.
        Stopped: when ``stop`` was set.
    """
    for name, limit in (("max_tokens", max_tokens), ("loss_tokens", loss_tokens)):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"{name} must be a whole number from 1 up, or None for all of the text, got {limit!r}")
    source = _Windows(model, texts, prepend_bos, max_tokens, stop)
    loss_sample = _Sample(loss_tokens)
    with torch.inference_mode(), stoppable(model, stop):
        fit, firing = _features(model, sae, hook_name, loss_sample.collect(source), max_tokens)
        losses = _losses(model, sae, hook_name, loss_sample, fit.mean)
        cosine, neighbour = nearest(sae.W_dec, stop)
    return Evaluation(
        l0=int(firing.counts.sum()) / fit.n,
        fvu=fit.fvu,
        mse=fit.mse,
        cosine=fit.cosine,
        **losses,
        counts=firing.counts.numpy(),
        max_activation=(firing.maximum * sae.decoder_norms().cpu()).numpy(),
        nearest_feature=neighbour.numpy(),
        nearest_cosine=cosine.numpy(),
        n_tokens=fit.n,
        n_loss_tokens=loss_sample.n,
        n_texts=source.n_texts,
        n_skipped=source.n_skipped,
        provenance=Provenance(model.name, sae.summary, hook_name, sae.hash(), model.hash()),
    )


@contextlib.contextmanager
def stoppable(model: LanguageModel, stop: threading.Event | None) -> Iterator[None]:
    """Inside it, setting ``stop`` ends a forward pass at the next block, with `Stopped`."""
    stacks = [part for part in model.module.modules() if isinstance(part, nn.ModuleList)]
    handles = [block.register_forward_pre_hook(lambda *_: go_on(stop)) for block in max(stacks, key=len, default=())]
    try:
        go_on(stop)
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Windows:
    """Token numbers of every window of a corpus, up to a limit of counted tokens; how many texts they came from."""

    def __init__(
        self, model: LanguageModel, texts: Any, prepend_bos: bool, limit: int | None, stop: threading.Event | None
    ) -> None:
        self.model, self.prepend_bos, self.left, self.stop = model, prepend_bos, limit, stop
        self.n_texts = self.n_skipped = 0
        self._documents = documents(texts)

    def __iter__(self) -> Iterator[list[int]]:
        for text in self._documents:
            go_on(self.stop)
            found = 0
            for window in self._of(text):
                found += 1
                yield window
                if self.left == 0:
                    break
            self.n_texts += bool(found)
            self.n_skipped += not found
            if self.left == 0:
                return
        if not self.n_texts:
            raise ValueError(f"none of the {self.n_skipped} texts has two tokens or more: nothing can be measured")

    def _of(self, text: Any) -> Iterator[list[int]]:
        if isinstance(text, str) and not text.strip():
            return
        tokens = self.model.tokens(text, self.prepend_bos)
        for ids, _ in windows(self.model, tokens.ids, tokens.has_bos, self.stop):
            window = _cut(ids[0].tolist(), self.left)
            if len(window) > 1:
                self.left = None if self.left is None else self.left - (len(window) - 1)
                yield window


class _Sample:
    """The first windows that pass by, up to a limit of counted tokens."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.n = limit, 0
        self.windows: list[list[int]] = []

    def collect(self, passing: Iterable[list[int]]) -> Iterator[list[int]]:
        for window in passing:
            kept = _cut(window, None if self.limit is None else self.limit - self.n)
            if len(kept) > 1:
                self.windows.append(kept)
                self.n += len(kept) - 1
            yield window


def _cut(window: list[int], counted: int | None) -> list[int]:
    return window if counted is None else window[: counted + 1]


def _batches(windows: Iterable[list[int]], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows in batches of up to ``size`` tokens: ids and counted positions, ``[batch, pos]``.

    Shorter ones are filled up behind their end, where nothing the model has read before can see it.
    """
    waiting: list[list[int]] = []
    for window in windows:
        if waiting and max(len(window), *map(len, waiting)) * (len(waiting) + 1) > size:
            yield _padded(waiting)
            waiting = []
        waiting.append(window)
    if waiting:
        yield _padded(waiting)


def _padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows])
    place = torch.arange(longest)
    return ids, (place > 0) & (place < torch.tensor([[len(row)] for row in rows]))


def _features(
    model: LanguageModel, sae: SparseAutoencoder, hook_name: str, passing: Iterable[list[int]], limit: int | None
) -> tuple[Fit, Firing]:
    from tqdm.auto import tqdm

    fit, firing = Fit(), Firing(sae.d_sae)
    size = BATCH_TOKENS.get(model.device.type, DEVICE_BATCH_TOKENS)
    with tqdm(total=limit, desc="evaluate: features", unit="tok", leave=False) as bar:
        for ids, keep in _batches(passing, size):
            x, y = (part[keep.to(part.device)].to(sae.device) for part in _read_and_written(model, sae, ids, hook_name))
            fit.add(y, sae.reconstruct(x))
            firing.add(sae.encode(x))
            bar.update(len(x))
    return fit, firing


def _read_and_written(
    model: LanguageModel, sae: SparseAutoencoder, ids: Tensor, hook_name: str
) -> tuple[Tensor, Tensor]:
    if not sae.is_transcoder:
        x = capture(model, ids, hook_name)
        return x, x
    found = capture_many(model, ids, [hook_name, sae.hook_name_out])
    return found[hook_name], found[sae.hook_name_out]


def _losses(
    model: LanguageModel, sae: SparseAutoencoder, hook_name: str, sample: _Sample, mean: Tensor
) -> dict[str, float]:
    """Loss as it is, with the SAE, and with two ablations; and KL(bare ‖ SAE); in nats a token."""
    from tqdm.auto import tqdm

    place = sae.hook_name_out or hook_name
    kind = model.device.type
    most = max(1, LOGITS.get(kind, DEVICE_LOGITS) // model.config.vocab_size)
    size = min(BATCH_TOKENS.get(kind, DEVICE_BATCH_TOKENS), most)
    sums = dict.fromkeys(("ce_bare", "ce_sae", "ce_zero", "ce_mean", "kl"), 0.0)
    predictions = 0
    with tqdm(total=sample.n, desc="evaluate: loss", unit="tok", leave=False) as bar:
        for ids, keep in _batches(sample.windows, size):
            at = scored(keep)
            logits, x = bare(model, ids, hook_name)
            changed = spliced(model, ids, place, keep, sae.reconstruct(x[keep.to(x.device)].to(sae.device)))
            sums["ce_bare"] += nats(logits, ids, at)
            sums["ce_sae"] += nats(changed, ids, at)
            sums["kl"] += kl_nats(logits, changed, keep)
            del logits, changed
            everywhere = torch.ones_like(keep)
            sums["ce_zero"] += nats(spliced(model, ids, place, everywhere, torch.zeros(())), ids, at)
            sums["ce_mean"] += nats(spliced(model, ids, place, keep, mean), ids, at)
            predictions += int(at.sum())
            bar.update(int(keep.sum()))
    kl = sums.pop("kl") / sample.n
    return {name: value / predictions if predictions else float("nan") for name, value in sums.items()} | {"kl": kl}
