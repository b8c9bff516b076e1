"""Learning a dictionary and watching it: of a model's activations, or of a toy world whose dictionary is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from saewidgets.widgets.toy import ToyPanel
    from saewidgets.widgets.training import TrainingMonitor


def train(
    model: Any,
    hook_name: str,
    texts: Any,
    *,
    d_sae: int,
    k: int,
    architecture: Literal["batchtopk", "topk"] = "batchtopk",
    training_tokens: int | None = None,
    batch_size: int = 2048,
    context_size: int = 256,
    lr: float | None = None,
    seed: int = 0,
    prepend_bos: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> TrainingMonitor:
    """Train a sparse autoencoder on a model's activations in the background, live.

    Text is read and activations are learnt from through a bounded shuffle buffer, so a corpus of any size will do.
    Position 0 and attention sinks are left out (``saewidgets.analysis.harvest``). ``monitor.sae`` waits for the end.

    Args:
        model: what `load` takes.
        hook_name: where to read, e.g. ``"blocks.15.hook_resid_post"``.
        texts: a list or iterable of strings or chats, or a `pathlib.Path` to ``.txt`` or ``.jsonl``.
        d_sae: number of features.
        k: active features a token.
        architecture: ``"batchtopk"`` (ends as a JumpReLU) or ``"topk"``.
        training_tokens: how many to learn from; by default each once. More go round again.
        batch_size: tokens a step.
        context_size: tokens a window, BOS included.
        lr: peak learning rate, by default 2e-3.
        seed: of directions and shuffling: the same call gives the same SAE on the same machine.
        prepend_bos: whether windows begin with BOS.
        folder: checkpoints every ten minutes and the finished SAE go here; the same call continues a killed run,
            and gives a finished one again.

    Raises:
        ValueError: when the hook is unknown, the text too little, or k not below d_sae.

    Example:
        >>> monitor = train("gpt2", "blocks.6.hook_resid_post", Path("corpus.jsonl"), d_sae=4096, k=32)
        >>> s = load("gpt2", sae=monitor.sae)
    """
    from saewidgets.analysis.harvest import TextActivations
    from saewidgets.lm.load import load_model
    from saewidgets.sae.training.run import TrainingRun
    from saewidgets.sae.training.trainer import check_sizes
    from saewidgets.widgets.training import TrainingMonitor

    check_sizes(d_sae, k, architecture)
    lm = load_model(model)
    source = TextActivations(lm, hook_name, texts, context_size=context_size, prepend_bos=prepend_bos)
    card = {"model": lm.name, "model_hash": lm.hash(), "context_size": context_size}
    run = TrainingRun(
        source,
        d_sae=d_sae,
        k=k,
        total_tokens=source.count() if training_tokens is None else training_tokens,
        architecture=architecture,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        folder=None if folder is None else Path(folder),
        about={"hook_name": hook_name, "model_name": lm.name, "prepend_bos": prepend_bos, "card": card},
        device=lm.device if lm.device.type == "cuda" else "cpu",  # MPS has no sparse matrices
    )
    return TrainingMonitor(run.start())


def toy(
    n_features: int = 64,
    d_in: int = 32,
    *,
    active: float = 2.0,
    skew: float = 0.0,
    d_sae: int | None = None,
    k: int | None = None,
    training_tokens: int = 300_000,
    seed: int = 0,
) -> ToyPanel:
    """Plant more sparse features than there are dimensions, train a dictionary on them, and watch it find them.

    The whole idea in small (Elhage et al. 2022, *Toy Models of Superposition*; Bricken et al. 2023). Recovery is
    possible while features are sparse; raise ``active`` or lower ``d_in`` to see it fail.

    Args:
        n_features: planted features.
        d_in: dimensions they share; 2 is drawn as a circle.
        active: mean number of features active at once.
        skew: 0 makes all equally frequent, 1 follows Zipf's law.
        d_sae: features to learn; by default twice as many as planted.
        k: active features a sample; by default ``active``, rounded.
        training_tokens: samples to learn from.
        seed: of the planted directions, the samples and the training.

    Raises:
        ValueError: when a number is out of range.

    Example:
        >>> panel = toy(5, 2, active=0.5)
        >>> panel.frame
    """
    from saewidgets.analysis.recovery import toy_view
    from saewidgets.sae.toy import PlantedSource, planted
    from saewidgets.sae.training.run import TrainingRun
    from saewidgets.widgets.toy import ToyPanel

    world = planted(n_features, d_in, active=active, skew=skew, seed=seed)
    run = TrainingRun(
        PlantedSource(world, seed),
        d_sae=d_sae or 2 * n_features,
        k=k or max(1, round(active)),
        architecture="topk",  # found 5 in 2 and 64 in 32 dimensions with every seed tried; BatchTopK not always
        total_tokens=training_tokens,
        batch_size=512,
        buffer_tokens=4096,
        lr=3e-2,
        seed=seed,
        initial="random",  # a sample of few features nearly is one: nothing would be left to find
    )
    panel = ToyPanel(run, toy_view(world, run))
    run.start()
    return panel


def sample_texts() -> list[str]:
    """The built-in passages of English prose, dialogue, reference and code, about 20 000 tokens: to try things on.

    Example:
        >>> len(sample_texts()) > 40
        True
    """
    from saewidgets.analysis.sample import passages

    return list(passages())
