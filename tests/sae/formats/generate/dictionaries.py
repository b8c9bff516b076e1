"""dictionary_learning's fixtures, written and answered by the real library.

Run in an environment of its own: ``pip install "dictionary-learning==0.1.*" torch==2.13.0``, then
``python dictionaries.py``.
"""

from __future__ import annotations

import json

import torch
from common import D_IN, D_SAE, expect, fresh, inputs, randomise, versions
from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary

VERSIONS = versions("dictionary-learning", "torch")
CASES = [
    (AutoEncoder, {}, "resid_post_layer_8"),
    (AutoEncoderNew, {}, "mlp_layer8"),
    (GatedAutoEncoder, {}, "attn_layer8"),
    (JumpReluAutoEncoder, {}, None),
    (AutoEncoderTopK, {"k": 5}, "resid_post_layer_8"),
    (BatchTopKSAE, {"k": 5}, "resid_post_layer_8"),
    (MatryoshkaBatchTopKSAE, {"k": 5, "group_sizes": [8, 16]}, "resid_post_layer_8"),
]
HOOKS = {"mlp_layer8": "blocks.8.mlp.hook_out", "attn_layer8": "blocks.8.attn.hook_out"}
for seed, (kind, options, submodule) in enumerate(CASES):
    folder = fresh("dictionary_learning", kind.__name__)
    dictionary = kind(D_IN, D_SAE, **options)
    randomise(dictionary, seed)
    torch.save(dictionary.state_dict(), folder / "ae.pt")
    trainer = {"dict_class": kind.__name__, "layer": 8, "lm_name": "EleutherAI/pythia-70m-deduped"}
    trainer |= {"submodule_name": submodule, "activation_dim": D_IN, "dict_size": D_SAE, "k": options.get("k")}
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
    loaded, _ = load_dictionary(str(folder), "cpu")
    x = inputs(seed)
    with torch.no_grad():
        acts, out = loaded.encode(x), loaded(x)
    hook = HOOKS.get(submodule, "blocks.8.hook_resid_post")
    about = {"hook_name": hook, "hook_name_out": "", "model_name": "EleutherAI/pythia-70m-deduped"}
    expect(folder, x, acts, out, versions=VERSIONS, **about)
