"""Gemma Scope, Gemma Scope 2 and Llama Scope: files as published, answered by SAELens' own loaders of them.

Run where ``saelens.py`` runs. The hub is not asked: SAELens' download function is pointed at the files written here,
and widths are given as overrides, as no published SAE is this small. Llama Scope with decoder vectors of other norms
follows the published formula of its own library (``lm_saes``, October 2024), which cannot be installed beside these.
"""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import sae_lens.loading.pretrained_sae_loaders as loaders
import torch
from common import D_IN, D_SAE, FIXTURES, expect, fresh, inputs, versions
from sae_lens import SAE
from safetensors import safe_open
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
VERSIONS = versions("sae-lens", "torch", "numpy")
D_OUT = 6


def local_file(repo_id, filename, subfolder="", **_):
    path = FIXTURES / repo_id / subfolder / filename
    if not path.exists():
        raise loaders.EntryNotFoundError(str(path))
    return str(path)


def local_shapes(repo_id, filename):
    with safe_open(FIXTURES / repo_id / filename, "pt") as file:
        return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


loaders.hf_hub_download, loaders.get_safetensors_tensor_shapes = local_file, local_shapes


def weights(seed: int, d_out: int = D_IN) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"w_enc": (D_IN, D_SAE), "w_dec": (D_SAE, d_out), "b_enc": (D_SAE,), "b_dec": (d_out,)}
    found = {name: torch.randn(shape, generator=generator) * 0.6 for name, shape in shapes.items()}
    return found | {"threshold": torch.rand(D_SAE, generator=generator)}


def load(loader, repo: str, folder: str, **overrides):
    """SAELens' SAE of these files."""

    def converter(path, device="cpu", cfg_overrides=None):
        config, state, *_ = loader(repo, folder, device=device, cfg_overrides=overrides)
        return config, {key: value.contiguous() for key, value in state.items()}

    return SAE.load_from_disk(FIXTURES / repo / folder, converter=converter)


def answer(place, sae, seed: int, unit: float = 1.0, source: str = "sae-lens", **about) -> None:
    x = inputs(seed)
    with torch.no_grad():
        acts, out = sae.encode(x) / unit, sae(x)
    expect(place, x, acts, out, answered_by=source, versions=VERSIONS, **about)


def gemma_scope() -> None:
    for seed, (kind, loader, name, name_out) in enumerate([
        ("res", loaders.gemma_2_sae_huggingface_loader, "blocks.20.hook_resid_post", ""),
        ("mlp", loaders.gemma_2_sae_huggingface_loader, "blocks.20.hook_mlp_out", ""),
        ("transcoders", loaders.gemma_2_transcoder_huggingface_loader, "blocks.20.ln2.hook_normalized",
         "blocks.20.hook_mlp_out"),
    ]):  # fmt: skip
        repo, folder = f"gemma_scope/gemma-scope-2b-pt-{kind}", "layer_20/width_16k/average_l0_71"
        place = fresh(repo, folder)
        tensors = {("W" + k[1:] if k.startswith("w_") else k): v.numpy() for k, v in weights(seed).items()}
        np.savez(place / "params.npz", **tensors)
        sizes = {"d_in": D_IN, "d_sae": D_SAE} | ({"d_out": D_IN} if name_out else {})
        sae = load(loader, repo, folder, **sizes)
        assert sae.cfg.metadata.hook_name == name
        answer(place, sae, seed, hook_name=name, hook_name_out=name_out, model_name="google/gemma-2-2b")


def gemma_scope_2() -> None:
    cases = {
        "resid_post": ("model.layers.9.output", None, False, D_IN, "blocks.9.hook_resid_post", ""),
        "transcoder": (
            "model.layers.9.pre_feedforward_layernorm.output",
            "model.layers.9.post_feedforward_layernorm.output",
            True,
            D_OUT,
            "blocks.9.mlp.hook_in",
            "blocks.9.hook_mlp_out",
        ),
    }
    for seed, (kind, (read, write, affine, d_out, name, name_out)) in enumerate(cases.items()):
        repo = "gemma_scope_2/gemma-scope-2-270m-pt"
        folder = f"{kind}/layer_9_width_16k_l0_small" + ("_affine" if affine else "")
        place = fresh(repo, folder)
        tensors = weights(10 + seed, d_out)
        if affine:
            tensors["affine_skip_connection"] = torch.randn(D_IN, d_out, generator=torch.Generator().manual_seed(3))
        save_file(tensors, place / "params.safetensors")
        config = {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "affine_connection": affine}
        config |= {"hf_hook_point_in": read, "hf_hook_point_out": write or read, "width": D_SAE, "type": kind}
        (place / "config.json").write_text(json.dumps(config))
        sae = load(loaders.gemma_3_sae_huggingface_loader, repo, folder)
        answer(place, sae, 10 + seed, hook_name=name, hook_name_out=name_out, model_name="google/gemma-3-270m")


def llama_scope() -> None:
    config = {
        "d_model": D_IN, "d_sae": D_SAE, "hook_point_in": "blocks.15.hook_resid_post",
        "hook_point_out": "blocks.15.hook_resid_post", "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": 11.5, "out": 11.5}, "act_fn": "topk", "top_k": 4,
        "jump_relu_threshold": 0.15, "use_decoder_bias": True, "apply_decoder_bias_to_pre_encoder": False,
        "sparsity_include_decoder_norm": True, "use_glu_encoder": False,
    }  # fmt: skip
    about = {"hook_name": config["hook_point_in"], "hook_name_out": "", "model_name": "meta-llama/Llama-3.1-8B"}
    found = weights(20)
    tensors = {"encoder.weight": found["w_enc"].T, "encoder.bias": found["b_enc"], "decoder.bias": found["b_dec"]}
    unit = found["w_dec"] / found["w_dec"].norm(dim=1, keepdim=True)
    repo, folder = "llama_scope", "Llama3_1-8B-Base-L15R-8x"
    place = fresh(repo, folder)
    (place / "checkpoints").mkdir()
    save_file({k: v.contiguous() for k, v in (tensors | {"decoder.weight": unit.T}).items()},
              place / "checkpoints/final.safetensors")  # fmt: skip
    (place / "hyperparams.json").write_text(json.dumps(config))
    sae = load(loaders.llama_scope_sae_huggingface_loader, repo, folder, dtype="float32", device="cpu")
    scale = math.sqrt(D_IN) / 11.5
    sae.fold_activation_norm_scaling_factor(scale)
    # SAELens puts the scale into W_enc, Llama Scope's own library into the biases: its feature_acts are smaller by it.
    answer(place, sae, 20, unit=scale, source="sae-lens, feature_acts divided by sqrt(d_model) / average norm", **about)
    llama_scope_formula(config, tensors | {"decoder.weight": found["w_dec"].T}, about)


def llama_scope_formula(config: dict, tensors: dict, about: dict) -> None:
    config = config | {"dataset_average_activation_norm": {"in": 9.0, "out": 13.0}}
    config |= {"apply_decoder_bias_to_pre_encoder": True}
    place = fresh("llama_scope", "by_formula")
    save_file({k: v.contiguous() for k, v in tensors.items()}, place / "sae_weights.safetensors")
    (place / "hyperparams.json").write_text(json.dumps(config))
    x, scale_in, scale_out = inputs(21), math.sqrt(D_IN) / 9.0, math.sqrt(D_IN) / 13.0
    b_dec = tensors["decoder.bias"] / scale_out
    columns = tensors["decoder.weight"] * scale_in / scale_out
    norms = columns.norm(dim=0)
    pre = ((x - b_dec) @ tensors["encoder.weight"].T + tensors["encoder.bias"] / scale_in) * norms
    acts = torch.where(pre > config["jump_relu_threshold"], pre, 0)
    out = acts @ (columns / norms).T + b_dec
    expect(place, x, acts, out, answered_by="the published formula", versions=VERSIONS, **about | {"model_name": ""})


gemma_scope()
gemma_scope_2()
llama_scope()
