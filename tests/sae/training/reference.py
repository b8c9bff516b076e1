"""The same training written down plainly: dense tensors, float64, PyTorch's own Adam and autograd."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from saewidgets.sae.training.start import initial_directions


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def kept_of_each(pre: Tensor, k: int) -> Tensor:
    """1 at the k largest of every row."""
    return torch.zeros_like(pre).scatter(1, pre.sort(dim=1, descending=True).indices[:, :k], 1.0)


def kept_of_all(pre: Tensor, k: int) -> Tensor:
    """1 at the batch · k largest positive entries."""
    flat = pre.reshape(-1)
    largest = flat.sort(descending=True).indices[: len(pre) * k]
    return torch.zeros_like(flat).scatter(0, largest[flat[largest] > 0], 1.0).reshape(pre.shape)


@dataclass
class Dense:
    """What `Trainer` promises, by the formulas of Gao et al. 2024 and Bussmann et al. 2024."""

    first: Tensor
    d_sae: int
    k: int
    steps: int
    architecture: str
    lr: float
    dead_after: int
    seed: int = 0
    fvu: float = math.nan
    smallest: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = self.first.double()
        self.scale = first.norm(dim=1).mean() / math.sqrt(first.shape[1])
        directions = initial_directions(self.d_sae, first.shape[1], self.seed).double()
        self.W_enc, self.W_dec = directions.T.clone(), directions.clone()
        self.b_enc, self.b_dec = torch.zeros(self.d_sae).double(), first.mean(0) / self.scale
        self.parameters = [self.W_enc, self.b_enc, self.W_dec, self.b_dec]
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.adam = torch.optim.Adam(self.parameters, lr=self.lr, foreach=False)
        self.silent = torch.zeros(self.d_sae)
        self.done = 0

    def acts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pre-activations and feature_acts ``[batch, d_sae]`` of x in scaled units; b_dec is constant here."""
        pre = (x - self.b_dec.detach()) @ self.W_enc + self.b_enc
        keep = (kept_of_each if self.architecture == "topk" else kept_of_all)(pre.detach(), self.k)
        return pre, F.relu(pre) * keep

    def reconstruct(self, x: Tensor) -> Tensor:
        """In the units of the input."""
        return (self.acts(x.double() / self.scale)[1] @ self.W_dec + self.b_dec) * self.scale

    def step(self, x: Tensor) -> float:
        x = x.double() / self.scale
        share = self.done / self.steps
        for group in self.adam.param_groups:
            group["lr"] = self.lr * min(1.0, share / 0.02 + 0.01, (1 - share) / 0.3)
        pre, acts = self.acts(x)
        recon = acts @ self.W_dec + self.b_dec
        loss = (recon - x).square().sum() / (x - x.mean(0)).square().sum()
        self.fvu = float(loss.detach())
        self.silent = torch.where((acts > 0).any(0), 0, self.silent + len(x))
        loss = loss + self.aux_loss(pre, (x - recon).detach())
        self.adam.zero_grad()
        loss.backward()
        with torch.no_grad():
            assert self.W_dec.grad is not None
            along = (self.W_dec.grad * self.W_dec).sum(1, keepdim=True)
            self.W_dec.grad -= along * self.W_dec
            self.adam.step()
            self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)
        self.done += 1
        self.smallest.append(float(acts[acts > 0].min().detach()))
        return float(loss.detach())

    def aux_loss(self, pre: Tensor, residual: Tensor) -> Tensor | float:
        dead = self.silent > self.dead_after
        if not dead.any():
            return 0.0
        pre, residual = pre[: len(pre) // 4], residual[: len(pre) // 4]
        among = pre.masked_fill(~dead, -math.inf)
        keep = kept_of_each(among.detach(), min(int(dead.sum()), residual.shape[1] // 2))
        aux = (F.relu(pre) * keep) @ self.W_dec
        return (aux - residual).square().sum() / residual.square().sum() / 32
