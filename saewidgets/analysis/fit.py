"""How well an SAE explains activations: the figures the trust panel and the evaluation report."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.lm.capture import logits_with
from saewidgets.lm.model import LanguageModel
from saewidgets.records import ce_recovered as ce_recovered
from saewidgets.sae.activations import SparseActs
from saewidgets.sae.autoencoder import SparseAutoencoder

ROWS = 128  # positions whose probabilities over the vocabulary are held at once


class Fit:
    """Running sums, in float64, of how near reconstructions come to their targets.

    The variance is merged batch by batch as in Chan, Golub and LeVeque 1983, so that a large mean costs no digits.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = torch.zeros(())
        """Mean target, float64 ``[d]``."""
        self._scatter = self._error = self._cosine = 0.0

    def add(self, y: Tensor, recon: Tensor) -> None:
        """Count targets and their reconstructions, ``[n, d]`` each."""
        if not len(y):
            return
        y, recon = _double(y), _double(recon)
        n, mean = self.n + len(y), y.mean(0)
        shift = mean - self.mean.to(mean)
        self._scatter += float((y - mean).square().sum() + shift.square().sum() * (self.n * len(y) / n))
        self.mean = self.mean.to(mean) + shift * (len(y) / n)
        self._error += float((y - recon).square().sum())
        self._cosine += float(F.cosine_similarity(y, recon, dim=-1).sum())
        self.n = n

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained, Σ‖y − ŷ‖² / Σ‖y − mean(y)‖² (Gao et al. 2024); NaN without variance."""
        return self._error / self._scatter if self._scatter else float("nan")

    @property
    def mse(self) -> float:
        """Squared error of a token, summed over d."""
        return self._error / self.n

    @property
    def cosine(self) -> float:
        """Mean cosine between target and reconstruction."""
        return self._cosine / self.n


class Firing:
    """On how many tokens each feature fired, and how strongly at most; on the CPU."""

    def __init__(self, d_sae: int) -> None:
        self.counts = torch.zeros(d_sae, dtype=torch.int64)
        self.maximum = torch.zeros(d_sae)

    def add(self, acts: SparseActs) -> None:
        """Count activations ``[n, k]``."""
        values, indices = (t.flatten().cpu() for t in acts)
        on = values > 0
        self.counts += torch.bincount(indices[on], minlength=len(self.counts))
        self.maximum.scatter_reduce_(0, indices, values.float(), "amax")


def variance_explained(x: Tensor, recon: Tensor) -> float:
    """1 − FVU: 1 − Σ‖x − x̂‖² / Σ‖x − mean(x)‖² over tokens, mean-centred (Gao et al. 2024); ``[n, d_in]`` each."""
    fit = Fit()
    fit.add(x, recon)
    return 1.0 - fit.fvu


def mean_l0(sae: SparseAutoencoder, x: Tensor) -> float:
    """Active features a token, averaged over ``[n, d_in]``."""
    return float((sae.encode(x).values > 0).sum(-1).float().mean())


def scored(keep: Tensor) -> Tensor:
    """Where a kept position predicts a kept token, bool ``[batch, pos]``; the last position predicts nothing."""
    return keep & F.pad(keep[:, 1:], (0, 1))


def nats(logits: Tensor, ids: Tensor, at: Tensor) -> float:
    """Next-token loss of logits ``[batch, pos, vocab]`` on ``ids`` ``[batch, pos]``, summed over positions ``at``."""
    places = at.flatten().nonzero()[:, 0].to(logits.device)
    flat, targets = logits.flatten(0, 1), ids.flatten().to(logits.device)
    parts = places.split(ROWS)
    return sum(float(F.cross_entropy(flat[part].float(), targets[part + 1], reduction="sum")) for part in parts)


def kl_nats(bare: Tensor, other: Tensor, at: Tensor) -> float:
    """KL(bare ‖ other) of next-token distributions, summed over the positions ``at``, bool ``[batch, pos]``."""
    places = at.flatten().nonzero()[:, 0].to(bare.device)
    total = 0.0
    for part in places.split(ROWS):
        p, q = (logits.flatten(0, 1)[part].float().log_softmax(-1) for logits in (bare, other))
        total += float(F.kl_div(q, p, reduction="sum", log_target=True))
    return total


def cross_entropy(logits: Tensor, ids: Tensor) -> float:
    """Mean next-token loss in nats of logits ``[batch, pos, vocab]`` on ``ids`` ``[batch, pos]``."""
    at = scored(torch.ones_like(ids, dtype=torch.bool))
    return nats(logits, ids, at) / int(at.sum())


def bare(model: LanguageModel, ids: Tensor, hook_name: str) -> tuple[Tensor, Tensor]:
    """Logits of the model as it is, and its activations at a hook on the way."""
    found: list[Tensor] = []

    def look(x: Tensor) -> Tensor:
        found.append(x)
        return x

    logits = logits_with(model, ids, hook_name, look)
    return logits, found[0]


def spliced(model: LanguageModel, ids: Tensor, hook_name: str, keep: Tensor, new: Tensor) -> Tensor:
    """Logits with the activations at the positions ``keep`` replaced by ``new``, ``[n kept, d]`` or ``[d]``."""
    keep = keep.to(model.device)

    def put(x: Tensor) -> Tensor:
        x = x.clone()
        x[keep] = new.to(x.device, x.dtype)
        return x

    return logits_with(model, ids, hook_name, put)


def cross_entropies(
    model: LanguageModel,
    sae: SparseAutoencoder,
    ids: Tensor,
    hook_name: str,
    keep: Tensor,
    mean: Tensor,
    read: Tensor | None = None,
) -> tuple[float, float, float]:
    """Loss of the bare model, with x replaced by SAE(x), and with x replaced by ``mean`` ``[d_in]`` (mean-ablation).

    Positions outside ``keep`` (bool ``[batch, pos]``) stay as they are in all three. For a transcoder ``hook_name`` is
    where it writes, and ``read`` ``[batch, pos, d_in]`` what it read.
    """
    logits, x = bare(model, ids, hook_name)
    x = x if read is None else read
    recon = sae.reconstruct(x[keep.to(x.device)].to(sae.device))
    losses = [logits, spliced(model, ids, hook_name, keep, recon), spliced(model, ids, hook_name, keep, mean)]
    as_is, with_sae, ablated = (cross_entropy(found, ids) for found in losses)
    return as_is, with_sae, ablated


def _double(x: Tensor) -> Tensor:
    """Float64, on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()
