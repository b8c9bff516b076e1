"""Our own SAEs on disk: SAELens' layout, so that they can be used elsewhere, and a ``card.json``."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from saewidgets.sae.activations import GroupMax, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.formats import saelens
from saewidgets.sae.formats.foreign import ForeignSAE
from saewidgets.sae.formats.saelens import CARD, CONFIG, WEIGHTS
from saewidgets.sae.formats.source import Source

LAYOUT = "6.0.0"


def save(sae: SparseAutoencoder, folder: str | os.PathLike[str]) -> Path:
    """Write ``sae`` into ``folder`` as SAELens 6 does; no file is replaced before all are written, weights last.

    SAELens reads it back, except for what it has no architecture for (TopK transcoders, `GroupMax`).

    Raises:
        TypeError: for an object of another library: only that library can save it.

    Example:
        >>> save(sae, "my-sae")
        >>> load("my-sae").hash() == sae.hash()
        True
    """
    if isinstance(sae, ForeignSAE):
        raise TypeError(f"a {type(sae.source).__name__} can only be saved by its own library")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(sae)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sae.tensors().items()}
    if sae.W_skip is not None:
        tensors["W_skip"] = tensors["W_skip"].T.contiguous()  # SAELens keeps [d_out, d_in]
    _write_all(
        folder,
        {
            CONFIG: lambda path: path.write_text(json.dumps(config, indent=2) + "\n", "utf-8"),
            CARD: lambda path: path.write_text(json.dumps(dict(sae.card), indent=2) + "\n", "utf-8"),
            WEIGHTS: lambda path: save_file(tensors, path),
        },
    )
    return folder


def _config(sae: SparseAutoencoder) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        # Without it SAELens takes the config for one of before 6.0, and loses everything in here.
        "sae_lens_version": LAYOUT,
        "hook_name": sae.hook_name,
        "model_name": sae.model_name,
        "prepend_bos": sae.prepend_bos,
        "center_input": sae.center_input,
    }
    if sae.center_input:  # as SAELens says it
        metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    if sae.is_transcoder:
        metadata["hook_name_out"] = sae.hook_name_out
    config = {
        "architecture": _architecture(sae),
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": str(sae.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": {"constant_norm": "constant_norm_rescale"}.get(sae.normalize, sae.normalize),
        "reshape_activations": "hook_z" if sae.hook_name.endswith("hook_z") else "none",
        "metadata": metadata,
    }
    if sae.is_transcoder:
        config["d_out"] = sae.d_out
    if isinstance(sae.activation, TopK | GroupMax):
        config |= {"k": sae.activation.k, "rescale_acts_by_decoder_norm": False}
    return config


def _architecture(sae: SparseAutoencoder) -> str:
    name = sae.activation.name
    if not sae.is_transcoder:
        return name
    prefix = "" if name == "standard" else f"{name}_"
    return f"{prefix}{'' if sae.W_skip is None else 'skip_'}transcoder"


def load(
    folder: str | os.PathLike[str], device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> SparseAutoencoder:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: when ``folder`` does not hold the weights and their config.
        ValueError: when a file is damaged, or its shapes or values are impossible.
    """
    source = Source(Path(folder))
    for name in (CONFIG, WEIGHTS):
        if not source.has(name):
            raise FileNotFoundError(f"no {name} in {source.folder}: is this the folder of an SAE?")
    return saelens.read(source, dtype, {}).to(device=device)


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
