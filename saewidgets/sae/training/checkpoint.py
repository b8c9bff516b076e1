"""A training run in one file: parameters, optimiser, shuffle buffer, history and the place in the text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

NAME = "checkpoint.safetensors"


def save(folder: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Write a checkpoint; the earlier one is replaced only when the new one is whole on disk.

    Raises:
        ValueError: when a tensor is not finite: the earlier checkpoint is then kept.
    """
    bad = [name for name, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if bad:
        raise ValueError(f"not saved, the earlier checkpoint is kept: {', '.join(bad)} is not finite")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{NAME}.tmp"  # always the same: a killed write's half file is overwritten by the next
    try:
        whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        save_file(whole, temporary, metadata={"run": json.dumps(numbers)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and numbers of the checkpoint in ``folder``, or None where there is none.

    Raises:
        ValueError: when the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            numbers = json.loads((file.metadata() or {})["run"])
            return {name: file.get_tensor(name) for name in file.keys()}, numbers  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}): delete it to begin again") from error
