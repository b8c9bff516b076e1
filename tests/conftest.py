"""Tiny models, tokenizers and SAEs, made on the spot: no network, no files, a second for all of them."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from saewidgets.lm.model import LanguageModel
from saewidgets.sae.activations import Activation, JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder

# A shell that starts the tests in the background has SIGINT ignored, and the tests of interrupts would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

D_MODEL, LAYERS, CONTEXT, D_SAE = 32, 4, 192, 48
HOOK = "blocks.2.hook_resid_post"
SENTENCES = [
    "The bridge over the river is golden in the evening light.",
    "She said that the old bridge was closed, and the ferry was late.",
    "Emoji 🌉🌉 and accents é è ü, Ελληνικά, עברית, 日本語.",
    "def bridge(x):\n    return x + 1\n",
]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tiny models only wait for a second thread."""
    before = torch.get_num_threads()
    if not request.node.get_closest_marker("slow"):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def byte_level_tokenizer(chat_template: str | None = None, **special: str) -> Any:
    """Byte-level BPE as GPT-2 and SmolLM2 have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend: Any = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=340,  # type: ignore[call-arg]
        special_tokens=["<|bos|>", "<|eos|>"],  # type: ignore[call-arg]
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # type: ignore[call-arg]
        show_progress=False,  # type: ignore[call-arg]
    )
    backend.train_from_iterator(SENTENCES, trainer)
    special = special or {"bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=chat_template, **special)


def sentencepiece_tokenizer() -> Any:
    """BPE on ``▁`` with bytes as ``<0xF0>``, as Llama 2 and Gemma have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    trained: Any = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    trainer: Any = trainers.BpeTrainer(vocab_size=60, show_progress=False, limit_alphabet=30)  # type: ignore[call-arg]
    trained.train_from_iterator(SENTENCES, trainer)
    learned = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    merges = [tuple(pair) for pair in learned["merges"]]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    model = models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    backend: Any = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", prepend_scheme="first")])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    return byte_level_tokenizer()


@pytest.fixture(scope="session")
def chat_tokenizer() -> Any:
    return byte_level_tokenizer(CHAT_TEMPLATE)


@pytest.fixture(scope="session")
def bosless_tokenizer() -> Any:
    return byte_level_tokenizer(eos_token="<|eos|>")


@pytest.fixture(scope="session")
def sp_tokenizer() -> Any:
    return sentencepiece_tokenizer()


@pytest.fixture(scope="session")
def new_llama(byte_tokenizer: Any) -> Callable[..., Any]:
    """Makes tiny random Llamas (grouped-query attention); the same seed gives the same weights."""

    def make(seed: int = 0, **changes: Any) -> Any:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(seed)
        options: dict[str, Any] = {
            "vocab_size": len(byte_tokenizer),
            "hidden_size": D_MODEL,
            "intermediate_size": 64,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT,
            "initializer_range": 0.2,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "architectures": ["LlamaForCausalLM"],
        }
        return LlamaForCausalLM(LlamaConfig(**{**options, **changes})).eval()

    return make


@pytest.fixture(scope="session")
def new_gpt2(byte_tokenizer: Any) -> Callable[..., Any]:
    """Makes tiny random GPT-2s."""

    def make(seed: int = 0) -> Any:
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=len(byte_tokenizer),
            n_embd=D_MODEL,
            n_layer=LAYERS,
            n_head=4,
            n_positions=CONTEXT,
            initializer_range=0.2,
            bos_token_id=0,
            eos_token_id=1,
            architectures=["GPT2LMHeadModel"],
        )
        return GPT2LMHeadModel(config).eval()

    return make


@pytest.fixture(scope="session")
def tiny_llama(new_llama: Callable[..., Any], byte_tokenizer: Any) -> LanguageModel:
    return LanguageModel(new_llama(), byte_tokenizer, "tiny-llama")


@pytest.fixture(scope="session")
def tiny_gpt2(new_gpt2: Callable[..., Any], byte_tokenizer: Any) -> LanguageModel:
    return LanguageModel(new_gpt2(), byte_tokenizer, "tiny-gpt2")


@pytest.fixture(scope="session")
def spiky_llama(new_llama: Callable[..., Any], byte_tokenizer: Any) -> LanguageModel:
    """A tiny Llama in which the token ``Z`` has a massive norm, as an attention sink has."""
    model = LanguageModel(new_llama(), byte_tokenizer, "spiky-llama")
    (number,) = model.tokens("Z", prepend_bos=False).ids
    with torch.no_grad():
        model.module.get_input_embeddings().weight[number] *= 1000  # type: ignore[operator]
    return model


@pytest.fixture(params=["llama", "gpt2"])
def tiny(request: pytest.FixtureRequest) -> LanguageModel:
    """Each of the tiny models in turn."""
    return request.getfixturevalue(f"tiny_{request.param}")


@pytest.fixture(scope="session")
def make_sae() -> Callable[..., SparseAutoencoder]:
    """Makes small random SAEs with every weight at work: biases, decoder norms other than 1."""

    def make(
        activation: Activation | str = "topk",
        *,
        d_in: int = D_MODEL,
        d_sae: int = D_SAE,
        k: int = 4,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        **meaning: Any,
    ) -> SparseAutoencoder:
        noise = torch.Generator().manual_seed(seed)
        W_enc, b_enc = torch.randn(d_in, d_sae, generator=noise), 0.3 * torch.randn(d_sae, generator=noise)
        W_dec, b_dec = torch.randn(d_sae, d_in, generator=noise), 0.3 * torch.randn(d_in, generator=noise)
        threshold = torch.rand(d_sae, generator=noise) * 4
        named = {"topk": TopK(k), "relu": ReLU(), "jumprelu": JumpReLU(threshold)}
        chosen = named[activation] if isinstance(activation, str) else activation
        sae = SparseAutoencoder(W_enc / d_in**0.5, b_enc, W_dec / d_in**0.5, b_dec, activation=chosen, **meaning)
        return sae if dtype == torch.float32 else sae.to(dtype=dtype)

    return make


@pytest.fixture(scope="session")
def tiny_sae(make_sae: Callable[..., SparseAutoencoder]) -> SparseAutoencoder:
    """A TopK SAE that reads the tiny models."""
    return make_sae("topk", hook_name=HOOK)


@pytest.fixture(params=["topk", "relu", "jumprelu"])
def any_sae(request: pytest.FixtureRequest, make_sae: Callable[..., SparseAutoencoder]) -> SparseAutoencoder:
    """An SAE of each activation in turn."""
    return make_sae(request.param, hook_name=HOOK)


def count_hooks(module: torch.nn.Module) -> int:
    """Every hook of every kind on every submodule."""
    return sum(
        len(getattr(part, kind)) for part in module.modules() for kind in ("_forward_hooks", "_forward_pre_hooks")
    )


@pytest.fixture(scope="session")
def hooks_on() -> Callable[[torch.nn.Module], int]:
    return count_hooks
