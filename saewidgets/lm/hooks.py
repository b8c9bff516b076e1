"""Hook names of the TransformerLens vocabulary, found in plain Hugging Face modules."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

BLOCKS = ("model.layers", "transformer.h", "gpt_neox.layers", "model.language_model.layers", "model.decoder.layers")
EMBEDDINGS = ("model.embed_tokens", "transformer.wte", "gpt_neox.embed_in", "model.language_model.embed_tokens")
ATTENTION = ("self_attn", "attn", "attention")
ATTENTION_OUT = ("o_proj", "c_proj", "dense", "out_proj")
MLP_OUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc2")
SITES = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "attn.hook_z",
         "mlp.hook_post", "attn.hook_in", "attn.hook_out", "mlp.hook_in", "mlp.hook_out")  # fmt: skip


@dataclass(frozen=True, eq=False)
class HookPoint:
    """A place in the model: the input or the first output of one module.

    Attributes:
        name: in the TransformerLens vocabulary.
        module: whose forward call is watched.
        side: ``"input"`` or ``"output"``.
    """

    name: str
    module: nn.Module
    side: Literal["input", "output"]

    def attach(self, fn: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``fn`` with the activations ``[batch, pos, d]`` on every forward; what it returns replaces them.

        Returns:
            A handle; ``handle.remove()`` takes the hook away.
        """
        if self.side == "input":
            return self.module.register_forward_pre_hook(_on_input(fn), with_kwargs=True)
        return self.module.register_forward_hook(_on_output(fn))


def _flat(fn: Callable[[Tensor], Tensor | None], x: Tensor) -> Tensor | None:
    """Heads are seen as one width (``hook_z`` of a bridge is ``[batch, pos, head, d_head]``)."""
    out = fn(x.flatten(2))
    return None if out is None else out.reshape(x.shape).to(x.dtype)


def _on_input(fn: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            out = _flat(fn, args[0])
            return None if out is None else ((out, *args[1:]), kwargs)
        name = next(key for key, value in kwargs.items() if isinstance(value, Tensor))
        out = _flat(fn, kwargs[name])
        return None if out is None else (args, {**kwargs, name: out})

    return hook


def _on_output(fn: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return _flat(fn, output)
        out = _flat(fn, output[0])
        return None if out is None else (out, *output[1:])

    return hook


def resolve(module: nn.Module, name: str) -> HookPoint:
    """Find ``name`` in a Hugging Face causal language model.

    Raises:
        ValueError: when the model has no such hook; the message lists near names.
    """
    if name == "hook_embed":
        return HookPoint(name, _first(module, EMBEDDINGS, "its token embedding"), "output")
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    blocks = blocks_of(module)
    if match and int(match[1]) < len(blocks):
        found = _in_block(blocks[int(match[1])], match[2])
        if found is not None:
            return HookPoint(name, *found)
    raise unknown_hook(name, hook_names(module))


def unknown_hook(name: str, known: list[str]) -> ValueError:
    """The error for a hook the model does not have."""
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.0)
    layers = sum(known_name.endswith("hook_resid_post") for known_name in known)
    return ValueError(f"this model ({layers} layers) has no hook {name!r}; near names: {', '.join(near)}")


def hook_names(module: nn.Module) -> list[str]:
    """Every hook name this model answers to."""
    names = ["hook_embed"]
    for layer, block in enumerate(blocks_of(module)):
        names += [f"blocks.{layer}.{site}" for site in SITES if _in_block(block, site) is not None]
    return names


def blocks_of(module: nn.Module) -> nn.ModuleList:
    """The model's transformer blocks."""
    return _first(module, BLOCKS, "its transformer blocks")  # type: ignore[return-value]


def _first(module: nn.Module, paths: tuple[str, ...], what: str) -> nn.Module:
    for path in paths:
        try:
            return module.get_submodule(path)
        except AttributeError:
            continue
    raise ValueError(f"cannot find {what} in a {type(module).__name__}: this architecture is not supported")


def _child(block: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    return next((getattr(block, name) for name in names if hasattr(block, name)), None)


def _in_block(block: nn.Module, site: str) -> tuple[nn.Module, Literal["input", "output"]] | None:
    attn, mlp = _child(block, ATTENTION), _child(block, ("mlp",))
    if attn is None or mlp is None:
        return None
    # Blocks that normalise a sublayer's output before adding it (Gemma 2 and 3, OLMo 2): what is added is the norm's.
    sandwich = hasattr(block, "post_feedforward_layernorm")
    if site == "hook_resid_pre":
        return block, "input"
    if site == "hook_resid_post":
        return block, "output"
    if site in ("attn.hook_in", "attn.hook_out"):
        return attn, "input" if site.endswith("in") else "output"
    if site in ("mlp.hook_in", "mlp.hook_out"):
        return mlp, "input" if site.endswith("in") else "output"
    if site == "hook_attn_out":
        return (block.post_attention_layernorm if sandwich else attn), "output"  # type: ignore[return-value]
    if site == "hook_mlp_out":
        return (block.post_feedforward_layernorm if sandwich else mlp), "output"  # type: ignore[return-value]
    if site == "attn.hook_z":
        out = _child(attn, ATTENTION_OUT)
        return None if out is None else (out, "input")
    if site == "mlp.hook_post":
        out = _child(mlp, MLP_OUT)
        return None if out is None else (out, "input")
    if site == "hook_resid_mid" and not getattr(block, "use_parallel_residual", False):
        before_mlp = ("pre_feedforward_layernorm",) if sandwich else ("post_attention_layernorm", "ln_2")
        return (_child(block, before_mlp) or mlp), "input"
    return None
