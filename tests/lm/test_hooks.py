"""Hook names on plain modules against a TransformerBridge of an identical copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saewidgets.lm.capture import capture, capture_many, logits_with
from saewidgets.lm.generate import generate
from saewidgets.lm.hooks import SITES, hook_names, resolve
from saewidgets.lm.load import load_model
from saewidgets.lm.model import LanguageModel

IDS = torch.tensor([[0, 50, 60, 70, 80, 90, 100], [0, 9, 8, 7, 6, 5, 4]])


@pytest.fixture(scope="module")
def bridge_of(
    tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Any, new_llama: Callable[..., Any], new_gpt2: Any
) -> Callable[[LanguageModel], Any]:
    """Boots a bridge around a copy of a tiny model: booting changes the module it is given."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer.save_pretrained(folder)
    made: dict[str, Any] = {}

    def boot(model: LanguageModel) -> Any:
        if model.name not in made:
            copy = new_llama(seed=1) if "llama" in model.name else new_gpt2(seed=1)
            copy.load_state_dict(model.module.state_dict())
            tokenizer = AutoTokenizer.from_pretrained(folder)
            made[model.name] = TransformerBridge.boot_transformers(
                f"none/{model.name}", hf_model=copy, tokenizer=tokenizer, dtype=torch.float32
            )
        return made[model.name]

    return boot


def test_every_hook_is_there(tiny: LanguageModel) -> None:
    expected = ["hook_embed", *(f"blocks.{layer}.{site}" for layer in range(4) for site in SITES)]
    assert hook_names(tiny.module) == expected


def test_every_hook_agrees_with_transformer_lens(tiny: LanguageModel, bridge_of: Callable[..., Any]) -> None:
    names = hook_names(tiny.module)
    found = capture_many(tiny, IDS, names)
    with torch.inference_mode():
        _, cache = bridge_of(tiny).run_with_cache(IDS)
    for name in names:
        expected = cache[name].flatten(2)
        torch.testing.assert_close(found[name], expected, atol=1e-5, rtol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
    distinct = {tuple(found[name].flatten()[:64].tolist()) for name in names}
    # A resid_post is the next resid_pre, Llama's embedding the first; what these blocks add is what a sublayer gives.
    same = 3 + ("llama" in tiny.name) + 2 * 4
    assert len(distinct) == len(names) - same


def test_a_bridge_gives_the_same_captures(tiny: LanguageModel, bridge_of: Callable[..., Any]) -> None:
    bridge = bridge_of(tiny)
    loaded = load_model(bridge)
    assert loaded.bridge is bridge
    assert loaded.tokenizer is bridge.tokenizer
    for name in hook_names(tiny.module):
        torch.testing.assert_close(capture(loaded, IDS, name), capture(tiny, IDS, name), atol=1e-5, rtol=1e-5)


def test_a_bridge_can_be_edited_and_generated_from(tiny: LanguageModel, bridge_of: Callable[..., Any]) -> None:
    loaded, ids = load_model(bridge_of(tiny)), (0, 50, 60, 70)
    for name in ("blocks.1.hook_resid_post", "blocks.2.hook_mlp_out", "blocks.1.attn.hook_z"):
        push = torch.randn(32, generator=torch.Generator().manual_seed(0))
        expected = logits_with(tiny, IDS, name, lambda x, push=push: x + push)
        found = logits_with(loaded, IDS, name, lambda x, push=push: x + push)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        made = [
            generate(m, ids, hook_name=name, edit=lambda x, _, push=push: x + push, max_new_tokens=5)
            for m in (loaded, tiny)
        ]
        assert made[0] == made[1]


def test_an_unknown_hook_of_a_bridge_lists_near_names(tiny_llama: LanguageModel, bridge_of: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"4 layers.*blocks.1.hook_resid_post"):
        load_model(bridge_of(tiny_llama)).hook("blocks.1.hook_resid_pots")


def test_a_bridge_hook_that_is_never_reached_is_an_error(
    tiny_llama: LanguageModel, bridge_of: Callable[..., Any]
) -> None:
    loaded = load_model(bridge_of(tiny_llama))
    with pytest.raises(ValueError, match="never reached"):
        capture(loaded, IDS, "blocks.0.attn.hook_result")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("blocks.9.hook_resid_post", "blocks.0.hook_resid_post"),
        ("blocks.2.hook_resid_pots", "blocks.2.hook_resid_post"),
        ("blocks.2.hook_nothing", "blocks.2."),
        ("blocks.-1.hook_resid_post", "blocks.1.hook_resid_post"),
        ("block.2.hook_resid_post", "blocks.2.hook_resid_post"),
        ("hook_embd", "hook_embed"),
        ("", "hook_embed"),
        ("model.layers.2", "near names"),
    ],
)
def test_an_unknown_hook_lists_near_names(tiny: LanguageModel, name: str, near: str) -> None:
    with pytest.raises(ValueError, match="no hook") as error:
        tiny.hook(name)
    assert near in str(error.value)
    assert "4 layers" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_of_another_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="Linear: this architecture is not supported"):
        resolve(torch.nn.Linear(2, 2), "blocks.0.hook_resid_post")


def test_an_edit_replaces_and_none_leaves_alone(tiny: LanguageModel) -> None:
    for name in hook_names(tiny.module):
        bare = logits_with(tiny, IDS, name, None)
        assert torch.equal(logits_with(tiny, IDS, name, lambda x: x.clone()), bare)
        assert torch.equal(logits_with(tiny, IDS, name, lambda x: None), bare)  # type: ignore[arg-type, return-value]
        assert not torch.allclose(logits_with(tiny, IDS, name, lambda x: x + 1.0 * x.flip(-1)), bare)


def test_an_edit_at_one_side_is_seen_at_the_other(tiny: LanguageModel) -> None:
    """Replacing a layer's output by zeros is what the next layer reads."""
    seen: list[Tensor] = []
    handle = tiny.hook("blocks.2.hook_resid_pre").attach(seen.append)  # type: ignore[arg-type]
    try:
        logits_with(tiny, IDS, "blocks.1.hook_resid_post", torch.zeros_like)
    finally:
        handle.remove()
    assert len(seen) == 1 and not seen[0].any()


class Boom(Exception):
    pass


def explode(*_: object) -> Tensor:
    raise Boom


def test_no_hook_is_left_after_an_exception(tiny: LanguageModel, hooks_on: Callable[[torch.nn.Module], int]) -> None:
    before = hooks_on(tiny.module)
    for name in hook_names(tiny.module):
        capture(tiny, IDS, name)
        with pytest.raises(Boom):
            logits_with(tiny, IDS, name, explode)
        with pytest.raises(Boom):
            generate(tiny, (0, 5, 6), hook_name=name, edit=explode)
    with pytest.raises(ValueError, match="no hook"):
        capture_many(tiny, IDS, ["hook_embed", "blocks.1.hook_resid_mid", "blocks.7.hook_resid_mid"])
    with pytest.raises(IndexError):
        capture(tiny, torch.tensor([[10_000]]), "blocks.3.hook_resid_post")
    with pytest.raises(IndexError):
        capture_many(tiny, torch.tensor([[10_000]]), ["blocks.3.hook_resid_post"])
    assert hooks_on(tiny.module) == before


def test_a_loaded_tiny_model_from_disk_has_the_same_hooks(tiny: LanguageModel, tmp_path: Path) -> None:
    tiny.module.save_pretrained(tmp_path)  # type: ignore[operator]
    tiny.tokenizer.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    for name in hook_names(tiny.module):
        assert torch.equal(capture(again, IDS, name), capture(tiny, IDS, name))
