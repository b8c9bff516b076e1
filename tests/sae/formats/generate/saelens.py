"""SAELens' fixtures, written and answered by the real library.

Run in an environment of its own: ``pip install "sae-lens==6.54.*" torch==2.13.0``, then ``python saelens.py``.
"""

from __future__ import annotations

import json
import warnings

import torch
from common import D_IN, D_SAE, expect, fresh, inputs, randomise, versions
from sae_lens import SAE, BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.registry import get_sae_class
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
VERSIONS = versions("sae-lens", "transformer-lens", "torch")
ABOUT = {"hook_name": "blocks.3.hook_resid_post", "model_name": "gpt2-small", "prepend_bos": False}
CASES = {
    "standard": ("standard", {}),
    "standard_b_dec_not_subtracted": ("standard", {"apply_b_dec_to_input": False}),
    "standard_layer_norm": ("standard", {"normalize_activations": "layer_norm"}),
    "standard_constant_norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
    "standard_expected_average": ("standard", {"normalize_activations": "expected_average_only_in"}),
    "gated": ("gated", {}),
    "gated_layer_norm_b_dec_not_subtracted": (
        "gated",
        {"normalize_activations": "layer_norm", "apply_b_dec_to_input": False},
    ),
    "topk": ("topk", {"k": 5}),
    "topk_rescaled_by_decoder_norm": ("topk", {"k": 5, "rescale_acts_by_decoder_norm": True}),
    "jumprelu": ("jumprelu", {"apply_b_dec_to_input": False}),
    "jumprelu_layer_norm": ("jumprelu", {"normalize_activations": "layer_norm"}),
    "transcoder": ("transcoder", {"d_out": 6, "apply_b_dec_to_input": False}),
    "skip_transcoder": ("skip_transcoder", {"d_out": 6, "apply_b_dec_to_input": False}),
    "jumprelu_transcoder": ("jumprelu_transcoder", {"d_out": 6, "apply_b_dec_to_input": False}),
    "jumprelu_skip_transcoder": ("jumprelu_skip_transcoder", {"d_out": 6, "apply_b_dec_to_input": False}),
}


def answer(folder, seed: int, heads: int = 0) -> None:
    """What the library makes of the files it wrote."""
    sae = SAE.load_from_disk(folder)
    x = inputs(seed, sae.cfg.d_in)
    given = x.reshape(len(x), heads, -1) if heads else x
    with torch.no_grad():
        acts, out = sae.encode(given), sae(given)
    about = {key: sae.cfg.metadata[key] for key in ("hook_name", "model_name", "prepend_bos", "hook_name_out")}
    expect(folder, x, acts, out.reshape(len(x), -1), architecture=sae.cfg.architecture(), **about, versions=VERSIONS)


def write(name: str, architecture: str, options: dict, seed: int, dtype: str = "float32", heads: int = 0, **about):
    """One SAE of one class, random throughout."""
    folder = fresh("saelens", name)
    sae_class, config_class = get_sae_class(architecture)
    metadata = {**ABOUT, **about}
    if "transcoder" in architecture:
        metadata |= {"hook_name": "blocks.3.ln2.hook_normalized", "hook_name_out": "blocks.3.hook_mlp_out"}
    config = config_class(d_in=D_IN, d_sae=D_SAE, dtype=dtype, metadata=SAEMetadata(**metadata), **options)
    sae = sae_class(config)
    randomise(sae, seed)
    sae.save_model(folder)
    answer(folder, seed, heads)


def write_trained(name: str, sae, seed: int) -> None:
    """A BatchTopK SAE as training leaves it: saved for inference, which turns its threshold into a JumpReLU's."""
    folder = fresh("saelens", name)
    randomise(sae, seed)
    with torch.no_grad():
        sae.topk_threshold.fill_(0.8)
    sae.save_inference_model(folder)
    answer(folder, seed)


def write_old(name: str, config: dict, seed: int, gated: bool = False) -> None:
    """A config as SAELens 2 to 5 wrote it, with tensors of the same names as today's."""
    folder = fresh("saelens", name)
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,), "b_enc": (D_SAE,)}
    tensors = {key: torch.randn(shape, generator=generator) * 0.6 for key, shape in shapes.items()}
    tensors["scaling_factor"] = torch.ones(D_SAE)
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", **config}))
    answer(folder, seed)


for seed, (name, (architecture, options)) in enumerate(CASES.items()):
    write(name, architecture, options, seed)
write("bfloat16", "jumprelu", {}, 50, dtype="bfloat16")
write("hook_z", "standard", {"reshape_activations": "hook_z"}, 51, heads=2, hook_name="blocks.1.attn.hook_z")
settings = {"d_in": D_IN, "d_sae": D_SAE, "k": 4, "metadata": SAEMetadata(**ABOUT)}
write_trained("batchtopk", BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**settings)), 52)
write_trained(
    "matryoshka",
    MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**settings, matryoshka_widths=[8, 24])),
    53,
)
old = {"hook_point": "blocks.8.hook_resid_pre", "model_name": "gpt2-small", "hook_point_layer": 8}
write_old("before_6_standard", {**old, "normalize_activations": False, "architecture": "standard"}, 60)
write_old(
    "before_6_topk", {**old, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 6}, "prepend_bos": True}, 61
)
