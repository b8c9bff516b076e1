"""Our own files, for SAELens to read: run in the project's environment, before ``saelens_reads_ours.py``."""

from __future__ import annotations

import torch
from common import D_IN, D_SAE, fresh

import saewidgets as sw
from saewidgets.sae import files

D_OUT = 6
ABOUT = {"hook_name": "blocks.3.hook_resid_post", "model_name": "gpt2", "prepend_bos": False}
THERE = {"hook_name_out": "blocks.3.hook_mlp_out", "apply_b_dec_to_input": False}


def written(name: str, activation: sw.TopK | sw.ReLU | sw.JumpReLU, seed: int, skip: bool = False, **options) -> None:
    """One SAE of random weights, saved by us."""
    generator = torch.Generator().manual_seed(seed)
    d_out = D_OUT if "hook_name_out" in options else D_IN
    shapes = [(D_IN, D_SAE), (D_SAE,), (D_SAE, d_out), (d_out,), (D_IN, d_out)]
    *weights, W_skip = (torch.randn(shape, generator=generator) * 0.6 for shape in shapes)
    options = ABOUT | options | ({"W_skip": W_skip} if skip else {})
    files.save(sw.SparseAutoencoder(*weights, activation=activation, **options), fresh("written_by_us", name))


threshold = torch.rand(D_SAE, generator=torch.Generator().manual_seed(7))
written("standard", sw.ReLU(), 70)
written("topk", sw.TopK(5), 71)
written("jumprelu", sw.JumpReLU(threshold), 72, apply_b_dec_to_input=False)
written("layer_norm", sw.TopK(5), 73, normalize="layer_norm")
written("constant_norm", sw.ReLU(), 74, normalize="constant_norm")
written("centred", sw.ReLU(), 75, center_input=True)
written("hook_z", sw.ReLU(), 76, hook_name="blocks.3.attn.hook_z")
written("transcoder", sw.ReLU(), 77, **THERE)
written("skip_transcoder", sw.ReLU(), 78, skip=True, **THERE)
written("jumprelu_transcoder", sw.JumpReLU(threshold), 79, **THERE)
written("jumprelu_skip_transcoder", sw.JumpReLU(threshold), 80, skip=True, **THERE)
