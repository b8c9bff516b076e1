"""Every published format of an SAE, found by looking at the files and read exactly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch

from saewidgets.sae.activations import GroupMax, TopK
from saewidgets.sae.autoencoder import Normalize, SparseAutoencoder
from saewidgets.sae.formats import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    hub,
    llama_scope,
    plain,
    saelens,
    sparsify,
)
from saewidgets.sae.formats.foreign import adapt
from saewidgets.sae.formats.names import hook_name as translated
from saewidgets.sae.formats.source import Source


class Format(Protocol):
    """A reader: one module of this folder."""

    @property
    def NAME(self) -> str:
        """Whose format it is."""
        ...

    @property
    def FILES(self) -> str:
        """What it looks like on disk."""
        ...

    def finds(self, source: Source) -> bool:
        """Whether the files are of this format."""
        ...

    def read(self, source: Source, dtype: torch.dtype, told: Mapping[str, Any]) -> SparseAutoencoder:
        """Read them; ``told`` is what the user said and the files may not."""
        ...


# Llama Scope before SAELens: it may hold a file of the same name. Plain tensors last: they match any weights.
FORMATS: tuple[Format, ...] = (
    llama_scope,
    saelens,
    sparsify,
    gemma_scope,
    gemma_scope_2,
    dictionary_learning,
    plain,
)


def load_sae(
    source: Any,
    *,
    hook_name: str | None = None,
    hook_name_out: str | None = None,
    model_name: str | None = None,
    prepend_bos: bool | None = None,
    apply_b_dec_to_input: bool | None = None,
    center_input: bool | None = None,
    normalize: Normalize | None = None,
    architecture: str | None = None,
    k: int | None = None,
    allow_pickle: bool = False,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> SparseAutoencoder:
    """An SAE or transcoder from a path, a hub name, tensors or another library's object.

    Every argument but the first is for what the files do not say, or say wrongly; what is given wins.

    Args:
        source: a folder or file (a local path always wins), ``"owner/repository/folder"`` on the hub, a dict of
            tensors, a `SparseAutoencoder`, or an object with ``encode``, ``decode`` and ``W_dec``.
        hook_name: where it reads, in the TransformerLens vocabulary or as a module name.
        hook_name_out: where a transcoder writes.
        model_name: the model it was trained on.
        prepend_bos: whether texts start with BOS.
        apply_b_dec_to_input: whether b_dec is subtracted before encoding.
        center_input: whether the mean over d_in is subtracted first.
        normalize: what is done to each token; see `Normalize`.
        architecture: of bare tensors: ``"standard"``, ``"topk"``, ``"jumprelu"``, ``"groupmax"``; of a
            dictionary_learning file without config: its class.
        k: active features a token, of bare tensors.
        allow_pickle: whether a ``.pt`` may be opened; it is then loaded with ``weights_only=True``.
        device: where to put the weights; default CPU, an object stays where it is.
        dtype: of the weights; default float32, an object keeps its own.

    Raises:
        FileNotFoundError: when there is nothing, or the hub cannot be reached.
        ValueError: when the files are of no known format, are damaged, or lack something: the message names what.
        TypeError: when ``source`` is none of these.

    Example:
        >>> load_sae("saes/layers.5").encode(x)
    """
    told = {
        "hook_name": translated(hook_name) if hook_name else None,
        "hook_name_out": translated(hook_name_out) if hook_name_out else None,
        "model_name": model_name,
        "prepend_bos": prepend_bos,
        "apply_b_dec_to_input": apply_b_dec_to_input,
        "center_input": center_input,
        "normalize": normalize,
        "architecture": architecture,
        "k": k,
    }
    told = {name: value for name, value in told.items() if value is not None}
    if isinstance(source, (str, os.PathLike)):
        sae = read(hub.local(source, allow_pickle), dtype or torch.float32, told, allow_pickle)
    elif isinstance(source, SparseAutoencoder):
        sae = source if dtype is None else source.to(dtype=dtype)
    elif isinstance(source, Mapping):
        sae = plain.from_tensors(source, dtype or torch.float32, told)
    else:
        sae = adapt(source, told)
    sae = _with(sae, told)
    return sae if device is None else sae.to(device=device)


def read(
    path: str | os.PathLike[str], dtype: torch.dtype, told: Mapping[str, Any], allow_pickle: bool = False
) -> SparseAutoencoder:
    """What `load_sae` does with a path.

    Raises:
        FileNotFoundError: when there is nothing at ``path``.
        ValueError: when no reader knows these files; the message lists them and the known formats.
    """
    source = Source.at(path, allow_pickle)
    for known in FORMATS:
        if known.finds(source):
            return known.read(source, dtype, told)
    raise ValueError(_unknown(source))


def _with(sae: SparseAutoencoder, told: Mapping[str, Any]) -> SparseAutoencoder:
    """What the user said, over what the files say."""
    fields = {name: value for name, value in told.items() if name not in ("architecture", "k")}
    k = told.get("k", getattr(sae.activation, "k", None))
    if k != getattr(sae.activation, "k", None):
        if not isinstance(sae.activation, (TopK, GroupMax)):
            raise ValueError(f"k={k} was given, but this SAE is {sae.activation.name}: it has no k")
        fields["activation"] = type(sae.activation)(k)
    return replace(sae, **fields) if fields else sae


def _unknown(source: Source) -> str:
    if source.file:
        found = [source.file]
    else:
        entries = sorted(source.folder.iterdir())
        found = [path.name + "/" * path.is_dir() for path in entries][:12] + ["…"] * (len(entries) > 12)
    known = "; ".join(f"{reader.NAME} ({reader.FILES})" for reader in FORMATS)
    inner = [path for path in source.folder.glob("*/*") if not source.file and path.suffix in (".safetensors", ".npz")]
    hint = f" Perhaps you mean the folder {inner[0].parent}." if inner else ""
    return f"{source.path} holds no SAE of a known format: {', '.join(found) or 'nothing'}.{hint} Known: {known}"
