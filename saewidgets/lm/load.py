"""Any causal language model: by name, by path, as an object, as a bridge."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from saewidgets.lm.aliases import hub_name
from saewidgets.lm.gguf import gguf_in, load_gguf
from saewidgets.lm.model import LanguageModel

HUB_SECONDS = 10.0


def load_model(
    model: Any,
    tokenizer: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
) -> LanguageModel:
    """Make a model ready: a hub name, a folder, a GGUF file, a Hugging Face module, a bridge or a LanguageModel.

    Args:
        model: what to load; an object is used as it is, never copied.
        tokenizer: needed with a Hugging Face module whose name or path does not lead to one.
        device: ``"cpu"``, ``"cuda"``, ``"mps"``; an object stays where it is unless this is given.
        dtype: of the weights when loading by name or path; default float32 on CPU, the stored one elsewhere.

    Raises:
        FileNotFoundError: when a name or path leads to no model.
        ValueError: when no tokenizer can be found for an object.
        TypeError: when ``model`` is none of these.

    Example:
        >>> load_model("my-models/llama-tiny").n_layers
        2
    """
    if isinstance(model, LanguageModel):
        if device is not None:
            model.module.to(device)
        return model
    if isinstance(model, (str, os.PathLike)):
        return _from_name(os.fspath(model), tokenizer, device, dtype)
    if hasattr(model, "hook_dict") and hasattr(model, "original_model"):
        tokenizer = tokenizer or model.tokenizer
        name = str(getattr(model.cfg, "model_name", "") or "bridge")
        loaded = LanguageModel(model.original_model, tokenizer, name, bridge=model)
    elif isinstance(model, torch.nn.Module) and hasattr(model, "config"):
        path = str(getattr(model.config, "_name_or_path", ""))
        name = path or type(model).__name__
        loaded = LanguageModel(model, tokenizer or _tokenizer_of(path, name), name)
    else:
        raise TypeError(
            "model must be a hub name, a folder, a Hugging Face causal language model or a TransformerBridge, "
            f"got {type(model).__name__}"
        )
    if device is not None:
        loaded.module.to(device)
    return loaded


def _from_name(name: str, tokenizer: Any, device: Any, dtype: Any) -> LanguageModel:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = str(Path(name).expanduser()) if Path(name).expanduser().exists() else hub_name(name)
    if dtype is None:
        dtype = torch.float32 if torch.device(device or "cpu").type == "cpu" else "auto"
    gguf = gguf_in(Path(source))
    try:
        module: Any
        if gguf is not None:
            module, tokenizer = load_gguf(gguf, tokenizer, torch.float32 if dtype == "auto" else dtype)
        else:
            here = Path(source).exists() or not _on_hub(source)  # then only what is on this machine is tried, at once
            with _quiet():
                module = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, local_files_only=here)
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(source, local_files_only=here)
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"cannot load the model {name!r}: {reason} Pass the path of a folder with its files, or check the network."
        ) from None
    loaded = LanguageModel(module.to(device or "cpu"), tokenizer, name)
    loaded.source = source
    return loaded


def _on_hub(name: str) -> bool:
    """One question with a time-out: transformers itself asks again for a minute where there is no network."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except Exception:  # whatever the network raises, what is cached may still do
        return False
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bar for copying weights, which is over before it can be read; downloads keep theirs."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _tokenizer_of(path: str, name: str) -> Any:
    from transformers import AutoTokenizer

    missing = ValueError(f"no tokenizer found for {name!r}: pass tokenizer=")
    if not path:
        raise missing
    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError):
        raise missing from None
