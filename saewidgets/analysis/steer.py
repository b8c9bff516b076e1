"""Interventions as an edit of the residual stream: Anthropic's clamp, the error term kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from saewidgets.analysis.tokens import SINK_RATIO
from saewidgets.analysis.trace import Trace
from saewidgets.records import Intervention, Kind, Where
from saewidgets.sae.autoencoder import SparseAutoencoder

KINDS = get_args(Kind)
Rows = Sequence[tuple[Intervention, ...]]


class Units(NamedTuple):
    """What strengths are measured in."""

    maxima: np.ndarray
    """Native feature_acts maxima, float32 ``[d_sae]``: the unit of clamp and at_least."""
    norm: float = float("nan")
    """Median residual norm where features are added: the unit of add."""


def edit_of(
    sae: SparseAutoencoder, interventions: Sequence[Intervention], maxima: np.ndarray, has_bos: bool
) -> FeatureEdit | None:
    """The same interventions for every row, on prompt and continuation; None for none. See `FeatureEdit`."""
    return FeatureEdit(sae, [tuple(interventions)], Units(maxima), has_bos=has_bos) if interventions else None


class FeatureEdit:
    """The edit x + Σ (f′ − f) · W_dec, each row with its own interventions (Templeton et al. 2024, *Steering*).

    x = SAE(x) + error; changing f inside SAE(x) and leaving the error adds decode(f′) − decode(f), and nothing else;
    times the token's own scale where the SAE normalises its input. f′ is the strength in multiples of the feature's
    maximum (clamp), the larger of that and f (at_least), or f plus what makes the change a fraction of the median
    residual norm long (add). A transcoder's features are read at its input hook and added at its output hook.
    Position 0 is never touched when it is BOS or an attention sink, nor is any other token above `SINK_RATIO` times
    the prompt's median norm. Padding is not touched either.

    Args:
        sae: the SAE.
        rows: interventions of every row of the batch; a single one is for all rows.
        units: what strengths are measured in.
        has_bos: whether position 0 is BOS.
        n_prompt: tokens of every row's prompt; without it the first activations seen are the prompt.
        where: which tokens are changed.
        live: gives ``rows`` anew before every step, so that what changes meanwhile changes the tokens that follow.
        trace: notes what was asked for and what was read, token by token.

    Raises:
        ValueError: when a feature does not exist, or its maximum is not known because it never fired.
    """

    def __init__(
        self,
        sae: SparseAutoencoder,
        rows: Rows,
        units: Units,
        *,
        has_bos: bool,
        n_prompt: Sequence[int] | None = None,
        where: Where = "both",
        live: Callable[[], Rows] | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.sae, self.units, self.has_bos, self.live, self.trace = sae, units, has_bos, live, trace
        self.where = checked_where(where)
        self.n_prompt = None if n_prompt is None else torch.tensor(n_prompt, device=sae.device).unsqueeze(1)
        self._limit: Tensor | None = None  # norms above it are sinks, [batch, 1]
        self._rows: Rows | None = None
        self.change_to(rows)

    def change_to(self, rows: Rows) -> None:
        """Use other interventions from the next step on."""
        if rows != self._rows:
            self._columns = _Columns(self.sae, rows, self.units)
            self._rows = rows

    @torch.inference_mode()
    def __call__(self, x: Tensor, start: int | Tensor, out: Tensor | None = None) -> Tensor | None:
        """What replaces ``x`` (or ``out``) ``[batch, pos, d]``, or None to leave it; see `Edit`."""
        if self.live is not None:
            self.change_to(self.live())
        columns = self._columns
        if not len(columns) and self.trace is None:
            return None
        read = x.to(self.sae.device)
        positions = start + torch.arange(x.shape[1], device=read.device)
        out = x if out is None else out
        untouched, skipped = self._untouched(read, positions)
        target, after = read[..., :0], out
        if len(columns):
            f = self.sae.feature_acts(read, columns.features)
            scale = self.sae.output_scale(read)
            target = columns.target(f, scale)
            delta = torch.where(untouched.unsqueeze(-1), 0.0, (target - f) * scale) @ columns.directions
            after = out + delta.to(out.device, out.dtype)
        if self.trace is not None:
            self.trace.note(columns, target, untouched, skipped, positions, after)
        return after if len(columns) else None

    def _untouched(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens that are not changed ``[batch, pos]``, and those of them that never are: BOS, sinks, padding."""
        positions = positions.expand(x.shape[:2])
        first = bool((positions[:, 0] <= 0).any())
        skipped = positions < int(self.has_bos)
        norms = x.float().norm(dim=-1)
        prompt = positions < self.n_prompt if self.n_prompt is not None else torch.full_like(skipped, first)
        if first:
            inside = norms.masked_fill(~prompt | (positions < 0), float("nan"))
            self._limit = SINK_RATIO * inside.nanmedian(dim=1, keepdim=True).values
        elif self.n_prompt is None and x.shape[1] > 1:
            self._limit = SINK_RATIO * norms.median(dim=1, keepdim=True).values
        if self._limit is not None:
            skipped = skipped | (norms > self._limit)
        if self.where == "both":
            return skipped, skipped
        return skipped | (~prompt if self.where == "prompt" else prompt), skipped


class _Columns:
    """Every (feature, direction) that some row changes, and what each row wants of it."""

    def __init__(self, sae: SparseAutoencoder, rows: Rows, units: Units) -> None:
        keys = sorted({(item.feature, item.random) for row in rows for item in row}, key=lambda k: (k[0], k[1] or 0))
        for item in (item for row in rows for item in row):
            _check(sae, item, units)
        self.numbers = [checked_feature(sae, feature) for feature, _ in keys]
        self.own = [seed is None for _, seed in keys]
        """Whether a column writes its feature's own direction."""
        self.features = torch.tensor(self.numbers, dtype=torch.int64, device=sae.device)
        self.directions = torch.stack([_direction(sae, *key) for key in keys]) if keys else sae.W_dec[:0]
        shape = (3, len(rows), 1, len(keys))
        wanted, asked = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        for number, row in enumerate(rows):
            for item in row:
                column = keys.index((item.feature, item.random))
                place = (KINDS.index(item.kind), number, 0, column)
                wanted[place], asked[place] = _amount(sae, item, units), True
        self.wanted, self.asked = wanted.to(sae.device, sae.dtype), asked.to(sae.device)

    def __len__(self) -> int:
        return len(self.numbers)

    def target(self, f: Tensor, scale: Tensor) -> Tensor:
        """f′ for activations ``f`` ``[batch, pos, m]``."""
        (clamped, raised, added), (is_clamp, is_raised, _) = self.wanted, self.asked
        f = torch.where(is_clamp, clamped, torch.where(is_raised, torch.maximum(f, raised), f))
        return f + added / scale


def _check(sae: SparseAutoencoder, item: Intervention, units: Units) -> None:
    feature = checked_feature(sae, item.feature)
    if item.needs_maximum and units.maxima[feature] <= 0:
        raise ValueError(
            f"feature {feature} never fired on the sample its maximum is measured on, "
            "so a multiple of it means nothing: choose another feature, or strength 0 to ablate it"
        )


def _amount(sae: SparseAutoencoder, item: Intervention, units: Units) -> float:
    """A strength in native feature_acts."""
    if item.kind != "add":
        return item.strength * float(units.maxima[item.feature]) if item.strength else 0.0
    if not units.norm > 0:
        raise ValueError("add needs the median residual norm: pass Units(maxima, norm)")
    norm = float(sae.W_dec[item.feature].float().norm())
    if norm == 0:
        raise ValueError(f"feature {item.feature} has no decoder direction to add: its row of W_dec is zero")
    return item.strength * units.norm / norm


def _direction(sae: SparseAutoencoder, feature: int, seed: int | None) -> Tensor:
    own = sae.W_dec[feature]
    if seed is None:
        return own
    noise = torch.randn(sae.d_out, generator=torch.Generator().manual_seed(seed)).to(own)
    return noise * (own.norm() / noise.norm())


def checked_feature(sae: SparseAutoencoder, feature: int) -> int:
    """``feature`` as an int, or a ValueError that names the range."""
    if not 0 <= feature < sae.d_sae:
        raise ValueError(f"there is no feature {feature}: this SAE has features 0 to {sae.d_sae - 1}")
    return int(feature)


def checked_where(where: str) -> Where:
    """``where``, or a ValueError that names what it can be."""
    if where not in ("both", "prompt", "generation"):
        raise ValueError(f'where must be "both", "prompt" or "generation", got {where!r}')
    return where  # type: ignore[return-value]
