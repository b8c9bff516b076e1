"""sparsify's fixtures, written and answered by the real library.

Run in an environment of its own: ``pip install "eai-sparsify==1.3.*" torch==2.13.0``, then
``python sparsify_coders.py``.
"""

from __future__ import annotations

import json

import torch
from common import D_IN, D_SAE, expect, fresh, inputs, randomise, versions
from sparsify import SparseCoder
from sparsify.config import SparseCoderConfig

VERSIONS = versions("eai-sparsify", "torch")
CASES = {
    "layers.5": ({"k": 5}, "blocks.5.hook_resid_post", ""),
    "layers.5.mlp": ({"k": 4, "activation": "groupmax"}, "blocks.5.mlp.hook_out", ""),
    "layers.6.mlp": ({"k": 4, "transcode": True}, "blocks.6.mlp.hook_in", "blocks.6.mlp.hook_out"),
    "layers.7.mlp": (
        {"k": 6, "transcode": True, "skip_connection": True},
        "blocks.7.mlp.hook_in",
        "blocks.7.mlp.hook_out",
    ),
    "h.3.attn": ({"k": 6, "skip_connection": True}, "blocks.3.attn.hook_out", ""),
}
root = fresh("sparsify")
(root / "config.json").write_text(json.dumps({"model": "EleutherAI/pythia-160m", "ctx_len": 2048}))
for seed, (name, (options, hook, hook_out)) in enumerate(CASES.items()):
    folder = fresh("sparsify", name)
    coder = SparseCoder(D_IN, SparseCoderConfig(num_latents=D_SAE, **options))
    randomise(coder, seed)
    coder.save_to_disk(folder)
    coder = SparseCoder.load_from_disk(folder)
    x = inputs(seed)
    with torch.no_grad():
        top, indices, _ = coder.encode(x)
        out = coder(x).sae_out
    acts = torch.zeros(len(x), D_SAE).scatter_(1, indices, top)
    about = {"hook_name": hook, "hook_name_out": hook_out, "model_name": "EleutherAI/pythia-160m"}
    expect(folder, x, acts, out, versions=VERSIONS, **about)
