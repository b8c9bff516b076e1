"""A tiny GPT-2 whose writing weights TransformerLens centred, and an SAE that read it: run where ``saelens.py`` runs.

The fixture holds the Hugging Face model as it is; the answers are those of the processed ``HookedTransformer``.
"""

from __future__ import annotations

import warnings

import torch
from common import expect, fresh, randomise, versions
from sae_lens.registry import get_sae_class
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import load_file, save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2Config, GPT2LMHeadModel

warnings.filterwarnings("ignore")
WIDTH, HEADS, LAYERS, VOCABULARY, CONTEXT, SITE = 12, 3, 2, 40, 16, "blocks.1.hook_resid_post"
torch.manual_seed(0)
model = GPT2LMHeadModel(
    GPT2Config(n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS, vocab_size=VOCABULARY, n_positions=CONTEXT)
).eval()
randomise(model, 1, positive=())
folder = fresh("centred_gpt2")
model.save_pretrained(folder / "model")
config = HookedTransformerConfig(
    n_layers=LAYERS, d_model=WIDTH, n_ctx=CONTEXT, d_head=WIDTH // HEADS, n_heads=HEADS, d_vocab=VOCABULARY,
    act_fn="gelu_new", normalization_type="LN", eps=1e-5, seed=0,
)  # fmt: skip
hooked = HookedTransformer(config)
hooked.load_and_process_state_dict(
    convert_gpt2_weights(model, config), fold_ln=True, center_writing_weights=True, center_unembed=True
)
ids = torch.arange(CONTEXT).reshape(1, -1) * 7 % VOCABULARY
_, cache = hooked.run_with_cache(ids)
x = cache[SITE][0]
assert x.mean(-1).abs().max() < 1e-4
sae_class, config_class = get_sae_class("standard")
metadata = SAEMetadata(
    hook_name=SITE, model_name="gpt2-small", model_from_pretrained_kwargs={"center_writing_weights": True}
)
sae = sae_class(config_class(d_in=WIDTH, d_sae=24, metadata=metadata))
randomise(sae, 2)
sae.save_model(folder)
with torch.no_grad():
    expect(folder, x, sae.encode(x), sae(x), hook_name=SITE, hook_name_out="", model_name="gpt2-small",
           versions=versions("sae-lens", "transformer-lens", "torch", "transformers"))  # fmt: skip
save_file({**load_file(folder / "expected.safetensors"), "ids": ids.contiguous()}, folder / "expected.safetensors")
