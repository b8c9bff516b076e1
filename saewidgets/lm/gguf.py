"""Quantised models in one file: opened where they are, dequantised in memory."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import torch


def gguf_in(path: Path) -> Path | None:
    """``path`` itself, if it is a GGUF file, or the only one of a folder without a ``config.json``."""
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    if not path.is_dir() or (path / "config.json").exists():
        return None
    files = sorted(path.glob("*.gguf"))
    return files[0] if len(files) == 1 else None


def load_gguf(file: Path, tokenizer: Any, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model and the tokenizer of a GGUF file; its weights are what the quantised ones stand for.

    A model of 135M parameters takes about a minute; save it (``module.save_pretrained``) to open it at once.

    Raises:
        OSError, ValueError: when transformers cannot read the file or does not know the architecture.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place, name = str(file.parent), file.name
    options: dict[str, Any] = {"gguf_file": name, "quantization_config": GgufConfig(dequantize=True), "dtype": dtype}
    try:
        module = AutoModelForCausalLM.from_pretrained(place, **options)
        return module, tokenizer or AutoTokenizer.from_pretrained(place, gguf_file=name)
    except (struct.error, KeyError, IndexError, TypeError, RuntimeError) as error:  # of a file that is cut off
        raise ValueError(f"{file} is damaged ({error}): copy it again.") from None
