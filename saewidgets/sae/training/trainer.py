"""One dictionary being learnt: parameters, optimiser, and a step over a batch of activations."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.sae.activations import Activation, JumpReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.training.gradients import SelectedActs, Selection, SparseDecode
from saewidgets.sae.training.select import batch_top_k, top_k
from saewidgets.sae.training.start import Initial, encoder_length, initial_directions, towards_samples

Architecture = Literal["topk", "batchtopk"]
AUX_COEFFICIENT = 1 / 32  # Gao et al. 2024, §A.2
AUX_SHARE = 4  # of a batch, one token in so many carries the auxiliary loss: it has six times the features to learn
WARM_UP, DECAY = 0.02, 0.3  # shares of all steps
THRESHOLD_MEMORY = 0.99  # of the running mean that becomes the JumpReLU threshold; early on a tenth of the steps so far
SMOOTH = 0.9  # of the running mean by which divergence is judged
PARAMETERS = ("W_enc", "b_enc", "W_dec", "b_dec")


class Diverged(FloatingPointError):
    """Training left the numbers, or became far worse than it had been, and worse than predicting the mean."""


class Trainer:
    """Fits x ≈ b_dec + Σ f_i · W_dec[i] with k features a token, by Adam on sparse gradients.

    TopK with an auxiliary-k loss that lets dead features reconstruct what the living leave over (on a quarter of each
    batch), and a unit-norm decoder (Gao et al. 2024, arXiv:2406.04093 §2.3, §A); BatchTopK spends batch · k features
    where they help most and ends as a JumpReLU whose threshold is the running mean of the smallest activation kept
    (Bussmann et al. 2024, arXiv:2412.06410 §3). Inputs are divided by one number so that their mean norm is √d_in;
    `sae` folds it away.

    Args:
        first: rows ``[n, d_in]`` that scale, b_dec and, with ``initial="data"``, the first directions are taken from.
        d_sae: number of features.
        k: active features a token (a mean over the batch for BatchTopK).
        steps: how many there will be, for the learning rate's schedule.
        architecture: ``"batchtopk"`` or ``"topk"``.
        lr: peak learning rate.
        dead_after: tokens without firing after which a feature counts as dead.
        seed: of the first directions.
        initial: begin half way between samples and random directions, or at random ones.

    Attributes:
        step_number: batches learnt so far.
        tokens: tokens learnt so far.
        figures: step, tokens, loss, fvu, l0, dead, lr of the last step.

    Raises:
        ValueError: when ``k`` is not below ``d_sae``, the architecture is unknown, or ``first`` is empty or not finite.

    Example:
        >>> trainer = Trainer(x, d_sae=4096, k=32, steps=1000)
        >>> trainer.step(x)
    """

    def __init__(
        self,
        first: Tensor,
        *,
        d_sae: int,
        k: int,
        steps: int,
        architecture: Architecture = "batchtopk",
        lr: float = 1e-3,
        dead_after: int = 200_000,
        seed: int = 0,
        initial: Initial = "data",
    ) -> None:
        check_sizes(d_sae, k, architecture)
        if first.ndim != 2 or not len(first) or not torch.isfinite(first).all():
            raise ValueError(f"training needs finite activations [batch, d_in], got shape {tuple(first.shape)}")
        self.d_sae, self.k, self.steps, self.architecture = d_sae, k, steps, architecture
        self.lr, self.dead_after = lr, dead_after
        first = first.float()
        self.scale = float(first.norm(dim=1).mean()) / math.sqrt(first.shape[1]) or 1.0
        directions, b_dec, length = initial_directions(d_sae, first.shape[1], seed).to(first.device), first.mean(0), 1.0
        if initial == "data":
            centred = (first - b_dec) / self.scale
            directions = towards_samples(directions, centred, seed)
            length = encoder_length(directions, centred, k)
        self.parameters = {
            "W_enc": length * directions,  # [d_sae, d_in] here, so that gradients are written row by row
            "b_enc": first.new_zeros(d_sae),
            "W_dec": directions,
            "b_dec": b_dec / self.scale,
        }
        for tensor in self.parameters.values():
            tensor.requires_grad_()
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=lr, betas=(0.9, 0.999), fused=True)
        self.silent = torch.zeros(d_sae, dtype=torch.int64, device=first.device)
        self.step_number = self.tokens = 0
        self.threshold = self.smallest = 0.0
        self.running_fvu = self.best_fvu = math.inf
        self.figures: dict[str, float] = {}

    def step(self, x: Tensor) -> None:
        """Learn from one batch ``[batch, d_in]``, already shuffled.

        Raises:
            Diverged: when the loss is not finite or training has come apart; the parameters are then not touched.
        """
        share = self.step_number / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * schedule(share)
        loss, fvu, l0 = self._loss(x.float() / self.scale)
        loss_value = float(loss.detach())
        self._guard(loss_value, float(fvu))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        W_dec = self.parameters["W_dec"]
        with torch.no_grad():
            grad = W_dec.grad
            assert grad is not None
            # Only the part of the gradient that turns a direction: its length is fixed.
            grad.addcmul_(W_dec, -torch.linalg.vecdot(grad, W_dec).unsqueeze(1))
            self.optimiser.step()
            W_dec /= W_dec.norm(dim=1, keepdim=True)
        self.step_number += 1
        self.tokens += len(x)
        self.figures = {
            "step": self.step_number,
            "tokens": self.tokens,
            "loss": loss_value,
            "fvu": float(fvu),
            "l0": l0,
            "dead": int((self.silent > self.dead_after).sum()),
            "lr": self.lr * schedule(share),
        }

    @torch.no_grad()
    def sae(self, **about: Any) -> SparseAutoencoder:
        """What has been learnt so far, in the input's own units; ``about`` goes to `SparseAutoencoder`."""
        W_enc, b_enc, W_dec, b_dec = (self.parameters[name].detach().clone() for name in PARAMETERS)
        # (x/s − b)W + c through a top-k, times s, is (x − s·b)W + s·c through the same top-k: the scale folds away.
        activation: Activation = TopK(self.k)
        if self.architecture == "batchtopk":
            activation = JumpReLU(torch.full_like(b_enc, self.threshold * self.scale))
        return SparseAutoencoder(
            W_enc.T.contiguous(), b_enc * self.scale, W_dec, b_dec * self.scale, activation=activation, **about
        )

    def directions(self) -> Tensor:
        """Unit decoder rows ``[d_sae, d_in]`` as they are now, a copy."""
        return self.parameters["W_dec"].detach().clone()

    def state(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Everything a later `restore` needs to go on to the same result: tensors, and plain numbers."""
        tensors = {name: tensor.detach() for name, tensor in self.parameters.items()} | {"silent": self.silent}
        for name, tensor in self.parameters.items():
            for moment, value in self.optimiser.state.get(tensor, {}).items():
                tensors[f"{name}.{moment}"] = value
        return tensors, {name: getattr(self, name) for name in _NUMBERS}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, float]) -> None:
        """Go on from a `state`."""
        for name, tensor in self.parameters.items():
            tensor.copy_(tensors[name])
            moments = {key.split(".", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
            if moments:
                # The step count too: fused Adam wants it where the parameter is.
                self.optimiser.state[tensor] = {
                    key: value.to(tensor.device, copy=True) for key, value in moments.items()
                }
        self.silent.copy_(tensors["silent"])
        for name in _NUMBERS:
            setattr(self, name, numbers[name])

    def _loss(self, x: Tensor) -> tuple[Tensor, Tensor, float]:
        W_enc, b_enc, W_dec, b_dec = (self.parameters[name] for name in PARAMETERS)
        centred = x - b_dec
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
            pre = _encoded(centred, W_enc, b_enc)
        chosen = self._select(pre)
        values = F.relu(SelectedActs.apply(centred, W_enc, b_enc, pre, chosen))
        recon = SparseDecode.apply(values, W_dec, chosen) + b_dec
        variance = (x - x.mean(0)).square().sum(1).mean()
        fvu = (recon - x).square().sum(1).mean() / variance
        with torch.no_grad():
            active = values > 0
            self.silent += len(x)
            self.silent[chosen.cols[active]] = 0
        return fvu + self._aux_loss(centred, pre, (x - recon).detach()), fvu.detach(), int(active.sum()) / len(x)

    def _select(self, pre: Tensor) -> Selection:
        if self.architecture == "topk":
            return top_k(pre, self.k)
        # The last batch's threshold, with room to spare, spares sorting most of this batch.
        chosen, self.smallest = batch_top_k(pre, self.k, 0.8 * self.smallest)
        # The first batches' thresholds are far too high: a short run must not remember them.
        memory = min(THRESHOLD_MEMORY, self.step_number / (self.step_number + 10))
        self.threshold = memory * self.threshold + (1 - memory) * self.smallest
        return chosen

    def _aux_loss(self, centred: Tensor, pre: Tensor, residual: Tensor) -> Tensor | float:
        dead = (self.silent > self.dead_after).nonzero().squeeze(1)
        if not len(dead):
            return 0.0
        W_enc, b_enc, W_dec, _ = (self.parameters[name] for name in PARAMETERS)
        some = max(1, len(pre) // AUX_SHARE)
        centred, pre, residual = centred[:some], pre[:some], residual[:some]
        among = top_k(pre[:, dead], min(len(dead), centred.shape[1] // 2 or 1))
        chosen = Selection(among.rows, dead[among.cols], among.crow, self.d_sae)
        values = F.relu(SelectedActs.apply(centred, W_enc, b_enc, pre, chosen))
        aux = SparseDecode.apply(values, W_dec, chosen)
        return AUX_COEFFICIENT * (aux - residual).square().sum(1).mean() / residual.square().sum(1).mean()

    def _guard(self, loss: float, fvu: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is not finite at step {self.step_number}: lower lr (now {self.lr:g}), or look for NaN or "
                "infinity in the activations"
            )
        known = math.isfinite(self.running_fvu)
        self.running_fvu = SMOOTH * self.running_fvu + (1 - SMOOTH) * fvu if known else fvu
        self.best_fvu = min(self.best_fvu, self.running_fvu)
        if self.running_fvu > (1.5 if self.best_fvu < 0.9 else 3 * self.best_fvu):
            raise Diverged(
                f"training came apart at step {self.step_number}: FVU was {self.best_fvu:.2f} and is now "
                f"{self.running_fvu:.2f}, worse than predicting the mean; lower lr (now {self.lr:g})"
            )


_NUMBERS = ("step_number", "tokens", "scale", "threshold", "smallest", "running_fvu", "best_fvu")


def check_sizes(d_sae: int, k: int, architecture: str) -> None:
    """Raise ValueError for sizes that cannot be trained."""
    if not 0 < k < d_sae:
        raise ValueError(f"k must be from 1 to d_sae − 1 = {d_sae - 1}, got {k}")
    if architecture not in get_args(Architecture):
        raise ValueError(f"architecture must be one of {', '.join(get_args(Architecture))}, got {architecture!r}")


def schedule(share: float) -> float:
    """Learning rate as a share of its peak, at a share of all steps: warm-up, level, linear decay."""
    return max(0.0, min(1.0, share / WARM_UP + 1e-2, (1 - share) / DECAY))


def _encoded(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Pre-activations ``[batch, d_sae]``."""
    # torch.set_float32_matmul_precision("medium") allows bfloat16 products, four times as fast on a CPU that has them.
    if x.device.type != "cpu" or torch.get_float32_matmul_precision() == "medium":
        return F.linear(x, W, b)
    # On an AMD machine numpy's OpenBLAS takes 0.7 of the time of torch's MKL for this product.
    with np.errstate(all="ignore"):  # what is not finite is told by the loss
        out = np.matmul(x.numpy(), W.detach().numpy().T)
        out += b.detach().numpy()
    return torch.from_numpy(out)
