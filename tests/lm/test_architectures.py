# pyright: reportOptionalSubscript=false
"""Every architecture we say works: each hook against a `TransformerBridge`, clamping, generating."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

import saewidgets as sw
from saewidgets.analysis.steer import edit_of
from saewidgets.lm import hooks
from saewidgets.lm.capture import capture, capture_many
from saewidgets.lm.generate import generate
from saewidgets.lm.model import LanguageModel

D, VOCAB = 32, 50
LLAMA = {
    "hidden_size": D, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": VOCAB, "max_position_embeddings": 64, "eos_token_id": None,
    "bos_token_id": 0, "pad_token_id": None,
}  # fmt: skip
GEMMA = LLAMA | {"head_dim": 8}
ARCHITECTURES: dict[str, tuple[type, type, dict[str, Any]]] = {
    "Llama": (hf.LlamaConfig, hf.LlamaForCausalLM, LLAMA),
    "Mistral": (hf.MistralConfig, hf.MistralForCausalLM, LLAMA),
    "Qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, LLAMA),
    "Qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM, GEMMA),
    "Gemma2": (hf.Gemma2Config, hf.Gemma2ForCausalLM, GEMMA | {"sliding_window": 16, "query_pre_attn_scalar": 8}),
    "Gemma3": (hf.Gemma3TextConfig, hf.Gemma3ForCausalLM, GEMMA | {"sliding_window": 16, "query_pre_attn_scalar": 8}),
    "OLMo": (hf.OlmoConfig, hf.OlmoForCausalLM, LLAMA),
    "OLMo2": (hf.Olmo2Config, hf.Olmo2ForCausalLM, LLAMA),
    "GPT2": (
        hf.GPT2Config,
        hf.GPT2LMHeadModel,
        {"n_embd": D, "n_head": 4, "n_layer": 2, "vocab_size": VOCAB, "n_positions": 64, "eos_token_id": None},
    ),
    "GPTNeoX": (
        hf.GPTNeoXConfig,
        hf.GPTNeoXForCausalLM,
        {"hidden_size": D, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "vocab_size": VOCAB, "max_position_embeddings": 64, "eos_token_id": None},
    ),
}  # fmt: skip
IDS = torch.arange(24).reshape(2, 12) * 5 % VOCAB


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A word a token; in a folder, from where a bridge loads it again."""
    words = {f"w{number}": number for number in range(VOCAB)}
    backend = Tokenizer(WordLevel(words, unk_token="w1"))
    folder = tmp_path_factory.mktemp("tokenizer")
    made = hf.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="w0", unk_token="w1", pad_token="w2")
    made.save_pretrained(folder)
    return hf.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tokenizer: Any) -> LanguageModel:
    config_class, model_class, options = ARCHITECTURES[request.param]
    torch.manual_seed(0)
    module = model_class(config_class(**options, attn_implementation="eager"))
    with torch.no_grad():
        for tensor in module.parameters():  # biases and norms too: nothing may hide behind a zero
            tensor.add_(torch.randn_like(tensor) * 0.1)
    module.config.architectures = [model_class.__name__]
    return LanguageModel(module.eval(), tokenizer, request.param)


def bridge_of(model: LanguageModel) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(
        model.name, hf_model=copy.deepcopy(model.module), tokenizer=model.tokenizer, dtype=torch.float32
    )


def test_every_hook_is_the_bridges(model: LanguageModel) -> None:
    bridge = bridge_of(model)
    names = hooks.hook_names(model.module)
    assert {"blocks.1.hook_resid_post", "blocks.1.attn.hook_z", "blocks.1.mlp.hook_in"} <= set(names)
    ours = capture_many(model, IDS, names)
    _, cache = bridge.run_with_cache(IDS)
    for name in names:
        theirs = cache[name].flatten(2)
        torch.testing.assert_close(ours[name], theirs, atol=1e-4, rtol=1e-4, msg=lambda m, name=name: f"{name}: {m}")
        torch.testing.assert_close(capture(model, IDS, name), ours[name])


def test_hooks_that_write_change_what_follows_exactly(model: LanguageModel) -> None:
    """Adding a vector where a sublayer writes is adding it to the residual stream behind it."""
    add = torch.linspace(-1, 1, D)
    for site in ("hook_attn_out", "hook_mlp_out"):
        handle = model.hook(f"blocks.1.{site}").attach(lambda x: x + add)
        try:
            changed = capture(model, IDS, "blocks.1.hook_resid_post")
        finally:
            handle.remove()
        plain = capture(model, IDS, "blocks.1.hook_resid_post")
        if site == "hook_mlp_out":
            torch.testing.assert_close(changed - plain, add.expand_as(plain), atol=1e-4, rtol=1e-4)
        else:
            assert (changed - plain).abs().max() > 0.1


def sae_at(hook: str, hook_out: str = "", seed: int = 0) -> sw.SparseAutoencoder:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(D, 40), (40,), (40, D), (D,)]
    tensors = [torch.randn(shape, generator=generator) * 0.3 for shape in shapes]
    return sw.SparseAutoencoder(
        *tensors, activation=sw.TopK(8), hook_name=hook, hook_name_out=hook_out, apply_b_dec_to_input=False
    )  # fmt: skip


def test_a_clamp_adds_the_feature_and_keeps_the_error(model: LanguageModel) -> None:
    sae = sae_at("blocks.0.hook_resid_post")
    maxima = np.full(40, 2.0, np.float32)
    edit = edit_of(sae, [sw.clamp(7, 3.0)], maxima, has_bos=False)
    assert edit is not None
    x = capture(model, IDS, sae.hook_name)
    acts = sae.encode(x)
    wanted = x + (6.0 - acts.feature(7)).unsqueeze(-1) * sae.W_dec[7]
    changed = edit(x, 1)
    moved = (changed != x).any(-1)
    assert moved.float().mean() > 0.5  # all but sinks
    torch.testing.assert_close(changed[moved], wanted[moved], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "hooks_of_sae", [("blocks.0.hook_resid_post", ""), ("blocks.0.mlp.hook_in", "blocks.0.mlp.hook_out")]
)
def test_generating_steers_and_leaves_nothing_behind(model: LanguageModel, hooks_of_sae: tuple[str, str]) -> None:
    sae = sae_at(*hooks_of_sae)
    edit = edit_of(sae, [sw.clamp(7, 8.0)], np.full(40, 2.0, np.float32), has_bos=False)
    ids = tuple(int(i) for i in IDS[0])
    options: dict[str, Any] = {"hook_name": sae.hook_name, "hook_name_out": sae.hook_name_out, "max_new_tokens": 8}
    bare = generate(model, ids, max_new_tokens=8)
    whole = torch.tensor([ids])
    mask = torch.ones_like(whole)
    module: Any = model.module
    theirs = module.generate(whole, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert bare == theirs[0, len(ids) :].tolist()
    steered = generate(model, ids, edit=edit, **options)
    assert steered != bare
    assert steered == _without_cache(model, sae, edit, ids)
    assert generate(model, ids, max_new_tokens=8) == bare


def _without_cache(model: LanguageModel, sae: sw.SparseAutoencoder, edit: Any, ids: tuple[int, ...]) -> list[int]:
    """The same by a full forward pass a token, reading and writing by plain hooks of our own."""
    made: list[int] = []
    for _ in range(8):
        whole = torch.tensor([[*ids, *made]])
        x = capture(model, whole, sae.hook_name)
        if sae.is_transcoder:
            handle = model.hook(sae.hook_name_out).attach(lambda out, x=x: edit(x, 0, out))
        else:
            handle = model.hook(sae.hook_name).attach(lambda x: edit(x, 0))
        try:
            with torch.inference_mode():
                made.append(int(model.module(whole, use_cache=False).logits[0, -1].argmax()))
        finally:
            handle.remove()
    return made
