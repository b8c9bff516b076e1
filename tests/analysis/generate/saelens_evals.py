# type: ignore  # it runs in another environment
"""A tiny trained GPT-2, three SAEs on it, and what SAELens' own evaluation says of them.

Run in an environment of its own: ``pip install "sae-lens==6.54.*" torch==2.13.0``, then ``python saelens_evals.py``.
Model and first SAE are trained on saewidgets' built-in sample, so that no figure is a degenerate one.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sae_lens import SAE, ActivationsStore, LoggingConfig, SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.evals import get_eval_everything_config, run_evals
from sae_lens.registry import get_sae_class
from sae_lens.saes.sae import SAEMetadata
from sae_lens.training.activation_scaler import ActivationScaler
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[2] / "saewidgets" / "analysis" / "sample_text.txt"
FOLDER = HERE.parent / "fixtures" / "saelens_evals"
WIDTH, HEADS, LAYERS, VOCABULARY, CONTEXT = 32, 4, 3, 512, 64
D_SAE, K, SITE = 96, 8, "blocks.1.hook_resid_post"
BATCHES, PROMPTS = 4, 6


def new_tokenizer(text: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|bos|>", "<|eos|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=special[0], eos_token=special[1])


def trained_model(ids: torch.Tensor) -> GPT2LMHeadModel:
    """Trained on windows of 63 tokens behind a BOS."""
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, vocab_size=VOCABULARY, n_positions=CONTEXT,
        bos_token_id=0, eos_token_id=1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        architectures=["GPT2LMHeadModel"],
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(400):
        batch = with_bos(torch.stack([ids[s : s + CONTEXT - 1] for s in torch.randint(0, len(ids) - CONTEXT, (16,))]))
        model(input_ids=batch, labels=batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return model.eval()


def with_bos(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros(len(rows), 1, dtype=rows.dtype), rows], dim=1)


def hooked(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> HookedTransformer:
    config = HookedTransformerConfig(
        n_layers=LAYERS, d_model=WIDTH, n_ctx=CONTEXT, d_head=WIDTH // HEADS, n_heads=HEADS, d_vocab=VOCABULARY,
        act_fn="gelu_new", normalization_type="LN", eps=1e-5, seed=0, default_prepend_bos=True,
    )  # fmt: skip
    found = HookedTransformer(config)
    found.tokenizer = tokenizer  # evaluation asks it for the special tokens only
    found.load_and_process_state_dict(
        convert_gpt2_weights(model, config), fold_ln=False, center_writing_weights=False, center_unembed=False,
        fold_value_biases=False,
    )  # fmt: skip
    return found.eval()


def metadata() -> SAEMetadata:
    return SAEMetadata(hook_name=SITE, model_name="tiny", prepend_bos=True, context_size=CONTEXT)


def trained_sae(x: torch.Tensor) -> TopKTrainingSAE:
    torch.manual_seed(0)
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=WIDTH, d_sae=D_SAE, k=K, metadata=metadata()))
    config = SAETrainerConfig(
        total_training_samples=256 * 400,
        train_batch_size_samples=256,
        lr=3e-3,
        lr_end=3e-3,
        dead_feature_window=1000,
        feature_sampling_window=1000,
        logger=LoggingConfig(log_to_wandb=False),
    )
    draws = torch.Generator().manual_seed(0)
    batches = (x[torch.randint(0, len(x), (256,), generator=draws)] for _ in iter(int, 1))
    return SAETrainer(config, sae, batches).fit()


def write_saes(trained: TopKTrainingSAE) -> None:
    """The trained one, and two of other kinds with its weights."""
    with torch.no_grad():
        trained.b_enc += 0.05 * torch.randn(D_SAE, generator=torch.Generator().manual_seed(1))
    trained.save_inference_model(FOLDER / "topk")
    weights = {name: t.detach().clone() for name, t in trained.state_dict().items()}
    kinds = {"jumprelu": ("jumprelu", {}), "standard_layer_norm": ("standard", {"normalize_activations": "layer_norm"})}
    for name, (architecture, options) in kinds.items():
        sae_class, config_class = get_sae_class(architecture)
        sae = sae_class(config_class(d_in=WIDTH, d_sae=D_SAE, metadata=metadata(), **options))
        state = {key: weights.get(key, value) for key, value in sae.state_dict().items()}
        if "threshold" in state:
            state["threshold"] = torch.rand(D_SAE, generator=torch.Generator().manual_seed(2)) * 2
        sae.load_state_dict(state)
        sae.save_model(FOLDER / name)


def round_trips(tokenizer: PreTrainedTokenizerFast, rows: torch.Tensor) -> list[list[int]]:
    """Rows whose text gives the same tokens again, so that a tool that starts from text sees the same."""
    return [
        row for row in rows.tolist() if tokenizer(tokenizer.decode(row), add_special_tokens=False)["input_ids"] == row
    ]


def answers(model: HookedTransformer, sae: SAE, tokens: torch.Tensor) -> dict[str, object]:
    dataset = Dataset.from_dict({"tokens": tokens.tolist()})
    store = ActivationsStore.from_sae(
        model, sae, dataset, context_size=CONTEXT, streaming=False, store_batch_size_prompts=PROMPTS
    )
    seen = torch.cat([store.get_batch_tokens(PROMPTS) for _ in range(BATCHES)])
    assert torch.equal(seen, tokens), "SAELens would evaluate other tokens"
    store.reset_input_dataset()
    config = get_eval_everything_config(
        batch_size_prompts=PROMPTS, n_eval_reconstruction_batches=BATCHES, n_eval_sparsity_variance_batches=BATCHES
    )
    metrics, features = run_evals(sae, store, model, ActivationScaler(), config)
    return {**metrics, "feature_density": features["feature_density"]}


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    text = SAMPLE.read_text("utf-8")
    tokenizer = new_tokenizer(text)
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    n = len(ids) * 3 // 4
    model = trained_model(ids[:n])
    model.save_pretrained(FOLDER / "model")
    tokenizer.save_pretrained(FOLDER / "model")
    lens = hooked(model, tokenizer)
    rows = with_bos(ids[: n // (CONTEXT - 1) * (CONTEXT - 1)].reshape(-1, CONTEXT - 1))
    with torch.no_grad():
        assert torch.allclose(lens(rows[:4]), model(rows[:4]).logits, atol=1e-3), "the two models differ"
        x = lens.run_with_cache(rows, names_filter=[SITE])[1][SITE][:, 1:].reshape(-1, WIDTH)
    write_saes(trained_sae(x))
    held_out = round_trips(tokenizer, ids[n:][: (len(ids) - n) // 63 * 63].reshape(-1, 63))[: BATCHES * PROMPTS]
    tokens = with_bos(torch.tensor(held_out))
    assert len(tokens) == BATCHES * PROMPTS and not ((tokens[:, 1:] < 2).any())
    np.savez_compressed(FOLDER / "tokens.npz", tokens=tokens.numpy().astype(np.int16))
    packages = ("sae-lens", "transformer-lens", "torch", "transformers")
    expected: dict[str, object] = {
        "versions": {"python": sys.version.split()[0], **{p: importlib.metadata.version(p) for p in packages}},
        "texts": [tokenizer.decode(row) for row in held_out],
    }
    for folder in sorted(path.parent for path in FOLDER.glob("*/sae_weights.safetensors")):
        expected[folder.name] = answers(lens, SAE.load_from_disk(folder), tokens)
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({k: {**v, "feature_density": "…"} for k, v in expected.items() if "sparsity" in v}, indent=1))


if __name__ == "__main__":
    main()
