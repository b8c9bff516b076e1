"""Hook names of other libraries in the TransformerLens vocabulary."""

from __future__ import annotations

import re

PREFIXES = r"(?:(?:model\.)?language_model\.|model\.|transformer\.|gpt_neox\.)*"
BLOCK = re.compile(rf"{PREFIXES}(?:layers|h|blocks)[._](\d+)(?:\.(.+))?")
EMBEDDING = re.compile(rf"{PREFIXES}(?:embed_tokens|embed_in|wte|embed|embedding)(?:\.output)?")
LAYER_FORMS = (
    (re.compile(r"(?:resid_post|resid)_?layer_?(\d+)"), "hook_resid_post"),
    (re.compile(r"resid_pre_?layer_?(\d+)"), "hook_resid_pre"),
    (re.compile(r"(?:attn|attention)(?:_out)?_?layer_?(\d+)"), "attn.hook_out"),
    (re.compile(r"mlp(?:_out)?_?layer_?(\d+)"), "mlp.hook_out"),
)
ATTENTION = r"(?:self_attn|attn|attention)"
SITES = (
    (re.compile(r"output"), "hook_resid_post"),
    (re.compile(r"input"), "hook_resid_pre"),
    (re.compile(rf"{ATTENTION}(?:\.output)?"), "attn.hook_out"),
    (re.compile(rf"{ATTENTION}\.(?:o_proj|c_proj|dense|out_proj)\.input"), "attn.hook_z"),
    (re.compile(r"mlp(?:\.output)?"), "mlp.hook_out"),
    (re.compile(r"mlp\.input|pre_feedforward_layernorm\.output"), "mlp.hook_in"),
    (re.compile(r"mlp\.(?:down_proj|c_proj|dense_4h_to_h)\.input"), "mlp.hook_post"),
    # Named only by blocks that normalise what a sublayer adds (Gemma 2 and 3).
    (re.compile(r"post_feedforward_layernorm\.output"), "hook_mlp_out"),
)
INPUTS = {"hook_resid_post": "hook_resid_pre", "mlp.hook_out": "mlp.hook_in", "attn.hook_out": "attn.hook_in"}


def hook_name(name: str) -> str:
    """``name`` in the TransformerLens vocabulary; a name nobody knows comes back as it is.

    Module names (``layers.5``, ``model.layers.5.mlp``, ``transformer.h.5``) mean the module's output, unless they end
    in ``.input``.

    Example:
        >>> hook_name("model.layers.5.output"), hook_name("resid_post_layer_5")
        ('blocks.5.hook_resid_post', 'blocks.5.hook_resid_post')
    """
    if EMBEDDING.fullmatch(name):
        return "hook_embed"
    for pattern, site in LAYER_FORMS:
        if match := pattern.fullmatch(name):
            return f"blocks.{match[1]}.{site}"
    match = BLOCK.fullmatch(name)
    if not match or "hook_" in name:
        return name
    place = match[2] or "output"
    return next((f"blocks.{match[1]}.{site}" for pattern, site in SITES if pattern.fullmatch(place)), name)


def input_of(name: str) -> str:
    """The hook where the module that writes to ``name`` reads: what a transcoder of that module encodes.

    Example:
        >>> input_of("blocks.5.mlp.hook_out")
        'blocks.5.mlp.hook_in'
    """
    whole = re.fullmatch(r"(blocks\.\d+)\.(.+)", name)
    if whole is None or whole[2] not in INPUTS:
        raise ValueError(f"no input is known of what writes to {name!r}: pass hook_name= and hook_name_out=")
    return f"{whole[1]}.{INPUTS[whole[2]]}"


def is_residual(name: str) -> bool:
    """Whether x at this hook is (part of) the residual stream, which ``center_writing_weights`` centres."""
    return bool(re.search(r"hook_(resid_\w+|mlp_out|attn_out|embed|pos_embed)$|(mlp|attn)\.hook_out$", name))
