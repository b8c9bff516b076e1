"""What every generating script does: random weights and inputs, the library's own answers beside its files."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
D_IN, D_SAE, N = 8, 24, 12


def fresh(*parts: str) -> Path:
    """An empty folder under ``fixtures``."""
    folder = FIXTURES.joinpath(*parts)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def randomise(module: torch.nn.Module, seed: int, positive: tuple[str, ...] = ("threshold",)) -> None:
    """Every parameter and float buffer random, so that no forgotten bias can hide behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.6
                tensor.copy_(noise.abs() if name.split(".")[-1] in positive else noise)


def inputs(seed: int, width: int = D_IN) -> torch.Tensor:
    """Activations ``[12, width]`` with a mean of their own."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(N, width, generator=generator) * 1.5 + 0.7


def expect(folder: Path, x: torch.Tensor, acts: torch.Tensor, out: torch.Tensor, **about: object) -> None:
    """Save what the library answered, what it says about itself, and the versions."""
    assert (acts > 0).any() and torch.isfinite(out).all(), folder
    tensors = {"x": x, "feature_acts": acts, "reconstruction": out}
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(about, indent=1) + "\n")


def versions(*packages: str) -> dict[str, str]:
    """Versions of the libraries that wrote a fixture."""
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": sys.version.split()[0], **found}
