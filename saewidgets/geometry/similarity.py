"""How alike features are: cosines of their vectors, or the phi coefficient of the tokens they fire on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

ABSENT = -torch.inf
"""The similarity to a feature that has no direction, or never fires: it is nobody's neighbour."""


class Similarity(Protocol):
    """A measure under which every two of ``n`` features are more or less alike; distance is 1 − similarity.

    Attributes:
        n: how many features.
        present: bool ``[n]`` on the CPU; the others have no direction, or never fire.
    """

    n: int
    present: Tensor

    def of(self, features: Tensor) -> Tensor:
        """Similarity of ``features`` ``[m]`` to every feature, float32 ``[m, n]``; `ABSENT` to those not present."""
        ...

    def pairs(self, features: Tensor, near: Tensor) -> Tensor:
        """Similarity of ``features`` ``[m]`` to ``near`` ``[m, k]`` alone, float32 ``[m, k]`` on the CPU."""
        ...


class Cosine:
    """Cosine of vectors, one row a feature; a row of zeros has no direction.

    Args:
        vectors: ``[n, d]``, any device; not copied where it is float32.
        name: what the rows are, for messages.

    Raises:
        ValueError: when ``vectors`` is not a matrix, or holds NaN or infinite values.

    Example:
        >>> Cosine(torch.eye(2)).of(torch.tensor([0]))
        tensor([[1., 0.]])
    """

    def __init__(self, vectors: Tensor, name: str = "vectors") -> None:
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise ValueError(f"{name} must be a [features, dimensions] matrix, got shape {list(vectors.shape)}")
        self.vectors = vectors.detach().float()
        norms = self.vectors.norm(dim=1)
        if not torch.isfinite(norms).all():
            row = int((~torch.isfinite(norms)).nonzero()[0])
            raise ValueError(f"{name} holds NaN or infinite values (first in row {row}): the file is damaged")
        self.n = len(vectors)
        self._absent = norms == 0
        self.present = ~self._absent.cpu()
        self._norms = torch.where(self._absent, 1.0, norms)

    def of(self, features: Tensor) -> Tensor:
        features = features.to(self.vectors.device)
        rows = self.vectors[features] / self._norms[features, None]
        found = _products(rows, self.vectors) if len(rows) > 1 else (self.vectors @ rows[0])[None]
        found = found.div_(self._norms).clamp_(-1, 1)
        return found.masked_fill_(self._absent, ABSENT)

    def pairs(self, features: Tensor, near: Tensor) -> Tensor:
        features, near = features.to(self.vectors.device), near.to(self.vectors.device)
        found = torch.einsum("md,mkd->mk", self.vectors[features], self.vectors[near])
        found = (found / self._norms[features, None] / self._norms[near]).clamp_(-1, 1)
        return found.masked_fill_(self._absent[near], ABSENT).cpu()

    def units(self) -> Tensor:
        """The vectors at length 1, float32 ``[n, d]``; zeros stay zeros."""
        return self.vectors / self._norms[:, None]


class Phi:
    """Phi coefficient of two features firing on the same tokens: Pearson's correlation of the two 0/1 columns.

    φ = (N·n₁₁ − n₁·n₂) / √(n₁(N − n₁)·n₂(N − n₂)). A feature that fires on no token, or on all, has none.

    Args:
        fires: bool ``[n_tokens, n]``, SciPy sparse: which features fired on which sampled token.

    Raises:
        ValueError: when there is no token.
    """

    def __init__(self, fires: Any) -> None:
        if fires.shape[0] == 0:
            raise ValueError("the sample of tokens is empty: scan a longer corpus")
        self._rows = scipy.sparse.csr_array(fires, dtype=np.float32)
        self._rows.eliminate_zeros()
        self._columns = self._rows.T.tocsr()
        self.n_tokens, self.n = self._rows.shape  # pyright: ignore[reportGeneralTypeIssues]
        self._counts = np.diff(self._columns.indptr).astype(np.float64)
        spread = self._counts * (self.n_tokens - self._counts)
        self.present = torch.from_numpy(spread > 0)
        self._deviation = np.sqrt(np.where(spread > 0, spread, 1.0))

    def of(self, features: Tensor) -> Tensor:
        at = features.cpu().numpy()
        together = (self._columns[at] @ self._rows).toarray().astype(np.float64)
        phi = self.n_tokens * together - self._counts[at, None] * self._counts
        phi /= self._deviation[at, None] * self._deviation
        return torch.from_numpy(phi.astype(np.float32)).masked_fill_(~self.present, ABSENT)

    def pairs(self, features: Tensor, near: Tensor) -> Tensor:
        parts = zip(features.split(64), near.cpu().split(64), strict=True)
        return torch.cat([self.of(some).gather(1, theirs) for some, theirs in parts])


def _products(rows: Tensor, vectors: Tensor) -> Tensor:
    """``rows @ vectors.T``; on AMD processors numpy's BLAS is up to twice as fast as torch's."""
    if rows.device.type != "cpu":
        return rows @ vectors.T
    return torch.from_numpy(rows.numpy() @ vectors.numpy().T)


def checked(similarity: Similarity, features: Sequence[int] | np.ndarray | Tensor) -> Tensor:
    """Feature numbers as a tensor.

    Raises:
        ValueError: when one is not an integer from 0 to n − 1.
    """
    found = torch.as_tensor(np.asarray(features))
    if found.ndim != 1 or found.is_floating_point() or found.dtype == torch.bool:
        raise ValueError(f"feature numbers must be a list of integers, got {features!r}")
    wrong = (found < 0) | (found >= similarity.n)
    if wrong.any():
        raise ValueError(f"there is no feature {int(found[wrong][0])}: this SAE has 0 to {similarity.n - 1}")
    return found.long()
