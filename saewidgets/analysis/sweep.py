"""One prompt at many strengths of one feature, in one batch, beside the bare model and three controls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from saewidgets.analysis import quality
from saewidgets.analysis.promoted import promoted_tokens
from saewidgets.analysis.trace import Trace
from saewidgets.analysis.write import PLAIN, Steerer, Style, Written
from saewidgets.lm.tokens import Tokens, readable, token_bytes
from saewidgets.records import Intervention, Kind, RowKind, Sweep, SweepRow
from saewidgets.sae.autoencoder import SparseAutoencoder

STRENGTHS = (-4.0, -3.0, -2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)
FRACTIONS = (-0.4, -0.2, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
"""What is swept when features are added: fractions of the median residual norm."""
CONTROLS = 4  # strengths at which controls are written
PROMOTED = 10  # tokens whose log-probability is followed
RELATED = 0.2  # a control feature's decoder has at most this cosine with the feature's
CANDIDATES = 16  # features of the nearest density among which the control is drawn
WRITING = 0.7  # share of the time


class Controls(NamedTuple):
    """What a sweep is compared with.

    Attributes:
        feature: another feature of similar density, or None.
        asked: the prompt with a request for the concept in words, or None.
        seed: of the random direction; None for none.
    """

    feature: int | None = None
    asked: Tokens | None = None
    seed: int | None = 0


ONLY_RANDOM, NO_CONTROLS = Controls(), Controls(seed=None)


class _Row(NamedTuple):
    kind: RowKind
    strength: float | None
    prompt: Tokens
    interventions: tuple[Intervention, ...]


def sweep(
    steerer: Steerer,
    prompt: Tokens,
    feature: int,
    strengths: Sequence[float],
    controls: Controls = ONLY_RANDOM,
    *,
    kind: Kind = "clamp",
    style: Style = PLAIN,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
) -> Sweep:
    """Write and measure every text of a sweep; all of them in one batch.

    Args:
        steerer: model, SAE and units.
        prompt: what to continue.
        feature: whose strength is swept.
        strengths: each once; multiples of the maximum, or fractions of the median residual norm for ``"add"``.
        controls: what to compare with, at `CONTROLS` of the strengths above 0.
        kind: how the feature is changed.
        style: how to write.
        stop: set it to end the work.
        progress: told the share done, 0 to 1.

    Raises:
        ValueError: when the feature or a strength is impossible, or no strength is given.
        Stopped: when ``stop`` was set.
    """
    plan = _plan(steerer, prompt, feature, strengths, controls, kind)
    tell = progress or (lambda share: None)
    trace = Trace(steerer.sae, steerer.units.maxima, [feature], others=False)
    written = steerer.write(
        [row.prompt for row in plan],
        [row.interventions for row in plan],
        style,
        trace=trace,
        stop=stop,
        stepped=lambda n: tell(WRITING * n / style.max_new_tokens),
    )
    tokens = promoted_tokens(steerer.model, steerer.sae, [feature], PROMOTED)[0].tolist()
    texts = [quality.Text(r.prompt, r.interventions, w.ids) for r, w in zip(plan, written, strict=True)]
    measured = quality.measure(
        steerer, prompt, texts, tokens, style.where, stop, lambda n: tell(WRITING + (1 - WRITING) * n / len(plan))
    )
    bare = written[0].ids
    rows = tuple(_row(r, w, q, bare) for r, w, q in zip(plan, written, measured, strict=True))
    strings = readable(token_bytes(steerer.model.tokenizer, tokens))[0] if tokens else []
    return Sweep(
        prompt.text,
        feature,
        rows,
        quality.sweet_spot(rows),
        intervention=kind,
        promoted=tuple(strings),
        control_feature=controls.feature,
    )


def _plan(
    steerer: Steerer, prompt: Tokens, feature: int, strengths: Sequence[float], controls: Controls, kind: Kind
) -> list[_Row]:
    wanted = sorted({float(strength) for strength in strengths})
    if not wanted:
        raise ValueError("no strengths were given: pass at least one, as in strengths=[0, 1, 2]")
    rows = [_Row("bare", None, prompt, ())]
    rows += [_Row("steered", m, prompt, (Intervention(feature, m, kind),)) for m in wanted]
    above = [m for m in wanted if m > 0]
    spread = sorted({above[round(at)] for at in np.linspace(0, len(above) - 1, CONTROLS)} if above else set())
    if controls.seed is not None:
        rows += [_Row("random", m, prompt, (Intervention(feature, m, kind, controls.seed),)) for m in spread]
    if controls.feature is not None:
        rows += [_Row("control", m, prompt, (Intervention(controls.feature, m, kind),)) for m in spread]
    if controls.asked is not None and len(controls.asked.ids) < steerer.model.context:
        rows.append(_Row("prompt", None, controls.asked, ()))
    return rows


def _row(planned: _Row, written: Written, measured: quality.Quality, bare: Sequence[int]) -> SweepRow:
    readings = written.steered.readback[written.steered.n_prompt :, 0]
    readings = readings[~np.isnan(readings)]
    return SweepRow(
        planned.kind,
        planned.strength,
        written.steered,
        readback=float(readings.mean()) if len(readings) else float("nan"),
        kl=measured.kl,
        perplexity=measured.perplexity,
        repetition=quality.repetition(written.ids),
        first_divergence=None if planned.kind == "bare" else quality.first_divergence(written.ids, bare),
        delta_logprob=measured.delta_logprob,
    )


def control_feature(
    sae: SparseAutoencoder, feature: int, density: np.ndarray, maxima: np.ndarray, seed: int = 0
) -> int | None:
    """Another live feature that fires about as often and points elsewhere, drawn with a seed; None where none is.

    Args:
        sae: the SAE.
        feature: the feature to be compared.
        density: share of tokens each feature fires on, ``[d_sae]``.
        maxima: native feature_acts maxima ``[d_sae]``.
        seed: of the draw among the `CANDIDATES` of the nearest log density.
    """
    directions = torch.nn.functional.normalize(sae.W_dec.detach().float(), dim=1)
    cosine = (directions @ directions[feature]).cpu().numpy()
    usable = np.flatnonzero((density > 0) & (maxima > 0) & (np.abs(cosine) <= RELATED))
    usable = usable[usable != feature]
    if not len(usable):
        return None
    own = density[feature] if density[feature] > 0 else density[density > 0].min()
    distance = np.abs(np.log(density[usable]) - np.log(own))
    near = usable[np.argsort(distance, kind="stable")[:CANDIDATES]]
    return int(np.random.default_rng([seed, feature]).choice(near))


def asking(prompt: Any, concept: str) -> Any:
    """The prompt, a string or a chat, with a request to bring in a concept: what one would do without steering."""
    request = f"Keep bringing in this: {concept}."
    if isinstance(prompt, str):
        return f"{prompt} {request}"
    return [*prompt[:-1], {**prompt[-1], "content": f"{prompt[-1]['content']} {request}"}]
