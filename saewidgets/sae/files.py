"""An SAE on disk: a folder with ``sae_weights.safetensors`` and ``cfg.json`` in SAELens' layout, and ``card.json``."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from saewidgets.sae.activations import Activation, JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder

WEIGHTS, CONFIG, CARD = "sae_weights.safetensors", "cfg.json", "card.json"
UNDERSTOOD = {
    "normalize_activations": ("none", None),
    "reshape_activations": ("none", "hook_z", None),  # heads are always seen as one width, see lm.hooks
    "rescale_acts_by_decoder_norm": (False, None),
}
"""Settings of SAELens that change what the weights mean, and their values that this reader gets right."""


def save(sae: SparseAutoencoder, folder: str | os.PathLike[str]) -> Path:
    """Write ``sae`` into ``folder``; no file is replaced before all are written, weights last.

    Example:
        >>> save(sae, "my-sae")
        >>> load("my-sae").hash() == sae.hash()
        True
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": sae.activation.name,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": str(sae.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "hook_name": sae.hook_name,
            "model_name": sae.model_name,
            "prepend_bos": sae.prepend_bos,
            "center_input": sae.center_input,
        },
    }
    if isinstance(sae.activation, TopK):
        config |= {"k": sae.activation.k, "rescale_acts_by_decoder_norm": False}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sae.tensors().items()}
    _write_all(
        folder,
        {
            CONFIG: lambda path: path.write_text(json.dumps(config, indent=2) + "\n", "utf-8"),
            CARD: lambda path: path.write_text(json.dumps(dict(sae.card), indent=2) + "\n", "utf-8"),
            WEIGHTS: lambda path: save_file(tensors, path),
        },
    )
    return folder


def load(
    folder: str | os.PathLike[str], device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> SparseAutoencoder:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: when ``folder`` does not hold the weights and their config.
        ValueError: when a file is damaged, or its shapes or values are impossible.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS, device)
    missing = {"W_enc", "b_enc", "W_dec", "b_dec"} - tensors.keys()
    if missing:
        raise ValueError(
            f"{folder / WEIGHTS} lacks {', '.join(sorted(missing))}; it holds {', '.join(sorted(tensors))}"
        )
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise ValueError(f"{folder / CONFIG} should hold a JSON object as its metadata, found {metadata!r}")
    for setting, known in UNDERSTOOD.items():
        if config.get(setting, known[0]) not in known:
            raise ValueError(f"{folder / CONFIG} asks for {setting}={config[setting]!r}, which is not supported yet")
    sae = SparseAutoencoder(
        W_enc=tensors["W_enc"].to(dtype),
        b_enc=tensors["b_enc"].to(dtype),
        W_dec=tensors["W_dec"].to(dtype),
        b_dec=tensors["b_dec"].to(dtype),
        activation=_activation(config, tensors, dtype, folder),
        hook_name=metadata.get("hook_name", ""),
        model_name=metadata.get("model_name", ""),
        prepend_bos=metadata.get("prepend_bos", True),
        apply_b_dec_to_input=config.get("apply_b_dec_to_input", True),
        center_input=metadata.get("center_input", False),
    )
    return replace(sae, card=read_json(folder / CARD)) if (folder / CARD).exists() else sae


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from ``path``, or an error that names the file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no {path.name} in {path.parent}: is this the folder of an SAE?") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): copy the file again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} should hold a JSON object, found {type(found).__name__}")
    return found


def read_tensors(path: Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Every tensor of a safetensors file, or an error that names the file."""
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: is this the folder of an SAE?")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error}): copy it again") from None


def _activation(config: dict[str, Any], tensors: dict[str, Tensor], dtype: torch.dtype, folder: Path) -> Activation:
    name = config.get("architecture")
    if name == "topk":
        k = config.get("k")
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"{folder / CONFIG} needs a whole number k from 1 to d_sae for topk, got {k!r}")
        return TopK(k)
    if name == "jumprelu":
        if "threshold" not in tensors:
            raise ValueError(f"{folder / WEIGHTS} lacks the threshold that architecture jumprelu needs")
        return JumpReLU(tensors["threshold"].to(dtype))
    if name in ("standard", "relu"):
        return ReLU()
    raise ValueError(f"{folder / CONFIG} names an unknown architecture {name!r}; known: topk, jumprelu, standard")


def _write_all(folder: Path, files: dict[str, Callable[[Path], object]]) -> None:
    """Through temporary files beside them, renamed once all are whole: a failing write leaves the old SAE."""
    temporary = {name: folder / f".{name}.{uuid.uuid4().hex}" for name in files}
    try:
        for name, write in files.items():
            temporary[name].touch()
            mode = temporary[name].stat().st_mode
            write(temporary[name])
            temporary[name].chmod(mode)  # safetensors makes files that only their owner may read
        for name, path in temporary.items():
            os.replace(path, folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
