"""A model by path, as an object, by name without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from saewidgets.lm.cache import cache_folder, read_json, write_json
from saewidgets.lm.load import load_model
from saewidgets.lm.model import LanguageModel


@pytest.fixture
def folder(tiny_llama: LanguageModel, tmp_path: Path) -> Path:
    tiny_llama.module.save_pretrained(tmp_path / "tiny")  # type: ignore[operator]
    tiny_llama.tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("kind", [str, Path])
def test_by_path(folder: Path, tiny_llama: LanguageModel, kind: Callable[[Path], Any]) -> None:
    loaded = load_model(kind(folder))
    assert loaded.hash() == tiny_llama.hash()
    assert loaded.name == str(folder)
    assert loaded.tokens("The bridge") == tiny_llama.tokens("The bridge")
    assert not loaded.module.training


def test_dtype_and_device(folder: Path) -> None:
    loaded = load_model(folder, device="cpu", dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.module.parameters()} == {torch.bfloat16}
    assert load_model(loaded, device="cpu") is loaded


def test_a_stored_half_model_is_float32_on_cpu(new_llama: Callable[..., Any], folder: Path) -> None:
    new_llama().bfloat16().save_pretrained(folder)
    assert {p.dtype for p in load_model(folder).module.parameters()} == {torch.float32}


def test_an_object_is_used_as_it_is(new_llama: Callable[..., Any], byte_tokenizer: Any) -> None:
    module = new_llama().train()
    loaded = load_model(module, tokenizer=byte_tokenizer)
    assert loaded.module is module
    assert loaded.tokenizer is byte_tokenizer
    assert not module.training  # dropout would make every view another one
    assert loaded.name == "LlamaForCausalLM"


def test_an_object_that_was_loaded_leads_to_its_tokenizer(folder: Path) -> None:
    from transformers import LlamaForCausalLM

    loaded = load_model(LlamaForCausalLM.from_pretrained(folder))
    assert loaded.name == str(folder)
    assert loaded.tokens("a").has_bos


def test_an_object_without_a_tokenizer(new_llama: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a class name is no address")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", asked)
    with pytest.raises(ValueError, match="no tokenizer found for 'LlamaForCausalLM': pass tokenizer="):
        load_model(new_llama())


def test_an_object_whose_folder_has_no_tokenizer(new_llama: Callable[..., Any], tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    new_llama().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pass tokenizer="):
        load_model(LlamaForCausalLM.from_pretrained(tmp_path))


def test_a_folder_without_a_tokenizer(new_llama: Callable[..., Any], byte_tokenizer: Any, tmp_path: Path) -> None:
    new_llama().save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="cannot load the model"):
        load_model(tmp_path)
    assert load_model(tmp_path, tokenizer=byte_tokenizer).tokenizer is byte_tokenizer


@pytest.mark.parametrize(
    "name", ["no/such-model", "nosuchmodel", "./nowhere", "/nowhere/at all", "~nobody/x", "", "a/b/c", "two words"]
)
def test_a_name_that_leads_nowhere_offline(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="cannot load the model") as error:
        load_model(name)
    assert "\n" not in str(error.value)
    assert "Pass the path of a folder" in str(error.value)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileNotFoundError, match="cannot load the model"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"garbage" * 40])
def test_damaged_weights(folder: Path, damage: bytes) -> None:
    (folder / "model.safetensors").write_bytes(damage)
    with pytest.raises(FileNotFoundError, match="cannot load the model"):
        load_model(folder)


@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, torch.nn.Linear(2, 2), b"gpt2"], ids=lambda x: type(x).__name__)
def test_another_type_is_an_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="model must be a hub name"):
        load_model(wrong)


# ---- the cache folder --------------------------------------------------------------------------------------------


def test_the_cache_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("SAEWIDGETS_CACHE", "~/there")
    assert cache_folder() == Path.home() / "there"
    monkeypatch.setenv("SAEWIDGETS_CACHE", "")
    assert cache_folder().name == "saewidgets"


def test_cached_json_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    assert read_json(path) is None
    write_json(path, {"x": [1, "é"]})
    assert read_json(path) == {"x": [1, "é"]}
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert read_json(path) == {"x": [1, "é"]}
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]
    for damage in (b"", b"{", b"\xff", b"[1]"):
        path.write_bytes(damage)
        assert read_json(path) is None
