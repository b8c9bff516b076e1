"""What a user may point at, what is asked back, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import saewidgets as sw
from saewidgets.sae import files
from saewidgets.sae.formats.names import hook_name, input_of

FIXTURES = Path(__file__).parent / "fixtures"
D_IN, D_SAE = 6, 10


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_enc": (D_SAE,), "b_dec": (D_IN,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


X = torch.randn(5, D_IN, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("blocks.3.hook_resid_pre", "blocks.3.hook_resid_pre"),
        ("layers.7", "blocks.7.hook_resid_post"),
        ("layers.7.mlp", "blocks.7.mlp.hook_out"),
        ("model.layers.7.output", "blocks.7.hook_resid_post"),
        ("model.layers.7.input", "blocks.7.hook_resid_pre"),
        ("model.layers.7.self_attn.o_proj.input", "blocks.7.attn.hook_z"),
        ("model.layers.7.pre_feedforward_layernorm.output", "blocks.7.mlp.hook_in"),
        ("model.layers.7.post_feedforward_layernorm.output", "blocks.7.hook_mlp_out"),
        ("model.language_model.layers.7", "blocks.7.hook_resid_post"),
        ("transformer.h.2.attn", "blocks.2.attn.hook_out"),
        ("gpt_neox.layers.2.attention", "blocks.2.attn.hook_out"),
        ("resid_post_layer_12", "blocks.12.hook_resid_post"),
        ("attn_layer0", "blocks.0.attn.hook_out"),
        ("mlp_out_layer_3", "blocks.3.mlp.hook_out"),
        ("embed_tokens", "hook_embed"),
        ("gpt_neox.embed_in", "hook_embed"),
        ("somewhere.else", "somewhere.else"),
        ("", ""),
    ],
)
def test_hook_names_are_translated(given: str, ours: str) -> None:
    assert hook_name(given) == ours


def test_a_transcoder_of_a_module_reads_what_the_module_reads() -> None:
    assert input_of("blocks.5.mlp.hook_out") == "blocks.5.mlp.hook_in"
    assert input_of("blocks.5.hook_resid_post") == "blocks.5.hook_resid_pre"
    with pytest.raises(ValueError, match="hook_name_out="):
        input_of("blocks.5.attn.hook_z")


def test_a_dict_of_tensors_is_an_sae() -> None:
    found = tensors()
    sae = sw.load_sae(found, k=3, apply_b_dec_to_input=True, hook_name="layers.2")
    pre = (X - found["b_dec"]) @ found["W_enc"] + found["b_enc"]
    assert sae.hook_name == "blocks.2.hook_resid_post"
    assert isinstance(sae.activation, sw.TopK)
    kept = torch.zeros(5, D_SAE).scatter(1, pre.topk(3).indices, pre.topk(3).values.relu())
    torch.testing.assert_close(sae.encode(X).dense(D_SAE), kept)


def test_linear_layers_are_turned_round() -> None:
    found = tensors()
    linear = {
        "encoder.weight": found["W_enc"].T,
        "encoder.bias": found["b_enc"],
        "decoder.weight": found["W_dec"].T.numpy(),
        "b_dec": found["b_dec"],
    }
    options = {"architecture": "standard", "apply_b_dec_to_input": False}
    assert sw.load_sae(linear, **options).hash() == sw.load_sae(found, **options).hash()


def test_bare_tensors_ask_for_what_they_do_not_say(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "my.safetensors")
    with pytest.raises(ValueError, match="apply_b_dec_to_input=True"):
        sw.load_sae(tmp_path, k=3)
    with pytest.raises(ValueError, match=r"pass k= \(TopK\) or architecture="):
        sw.load_sae(tmp_path, apply_b_dec_to_input=True)
    assert sw.load_sae(tmp_path, apply_b_dec_to_input=True, k=3).d_sae == D_SAE
    assert sw.load_sae(tmp_path / "my.safetensors", apply_b_dec_to_input=True, k=3).d_sae == D_SAE


def test_a_threshold_means_jumprelu(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {name: t.numpy() for name, t in tensors().items()}
    np.savez(tmp_path / "x.npz", **arrays, threshold=np.float32(0.4))
    sae = sw.load_sae(tmp_path, apply_b_dec_to_input=False)
    assert sw.load_sae(tmp_path / "x.npz", apply_b_dec_to_input=False).hash() == sae.hash()
    with pytest.raises(ValueError, match="apply_b_dec_to_input=True"):
        sw.load_sae(tmp_path / "x.npz")
    acts = sae.encode(X)
    assert acts.values[acts.values > 0].min() > 0.4


def test_shards_named_by_an_index_are_joined(tmp_path: Path) -> None:
    found = tensors()
    save_file({name: found[name] for name in ("W_enc", "b_enc")}, tmp_path / "a.safetensors")
    save_file({name: found[name] for name in ("W_dec", "b_dec")}, tmp_path / "b.safetensors")
    places = {name: "a.safetensors" if "enc" in name else "b.safetensors" for name in found}
    (tmp_path / "x.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    options = {"architecture": "standard", "apply_b_dec_to_input": True}
    assert sw.load_sae(tmp_path, **options).hash() == sw.load_sae(found, **options).hash()


@pytest.mark.parametrize("place", ["../secret.safetensors", "/etc/passwd", "sub/a.safetensors", "a.txt", 7, None])
def test_an_index_may_not_point_elsewhere(tmp_path: Path, place: object) -> None:
    (tmp_path / "in").mkdir()
    save_file(tensors(), tmp_path / "secret.safetensors")
    (tmp_path / "in" / "x.safetensors.index.json").write_text(json.dumps({"weight_map": {"W_enc": place}}))
    with pytest.raises(ValueError, match="only name safetensors files in its own folder"):
        sw.load_sae(tmp_path / "in", k=3, apply_b_dec_to_input=True)


def test_what_the_user_says_wins(tmp_path: Path) -> None:
    files.save(_saved(), tmp_path)
    sae = sw.load_sae(
        tmp_path, hook_name="layers.1", model_name="other", prepend_bos=False, center_input=True, k=2,
        apply_b_dec_to_input=False, normalize="layer_norm",
    )  # fmt: skip
    assert (sae.hook_name, sae.model_name, sae.prepend_bos) == ("blocks.1.hook_resid_post", "other", False)
    assert sae.center_input and not sae.apply_b_dec_to_input and sae.normalize == "layer_norm"
    assert sae.activation == sw.TopK(2)


def _saved() -> sw.SparseAutoencoder:
    found = tensors()
    return sw.SparseAutoencoder(found["W_enc"], found["b_enc"], found["W_dec"], found["b_dec"], sw.TopK(4))


def test_a_k_for_an_sae_without_one_is_refused() -> None:
    with pytest.raises(ValueError, match="it has no k"):
        sw.load_sae(FIXTURES / "saelens" / "standard", k=3)


class Theirs:
    """A user's own class: ReLU on its own words."""

    def __init__(self, pairs: bool = False) -> None:
        found = tensors()
        self.W_enc, self.W_dec, self.b = found["W_enc"], torch.nn.Parameter(found["W_dec"]), found["b_enc"]
        self.pairs = pairs
        self.cfg = SimpleNamespace(metadata=SimpleNamespace(hook_name="layers.4", model_name="tiny"))

    def encode(self, x: torch.Tensor):
        acts = torch.tanh(x @ self.W_enc + self.b).relu()
        top = acts.topk(4, dim=-1)
        return (top.values, top.indices, acts) if self.pairs else acts

    def decode(self, acts: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        if indices is not None:
            acts = torch.zeros(len(acts), D_SAE).scatter_add(1, indices, acts)
        return acts @ self.W_dec * 2 + 1


@pytest.mark.parametrize("pairs", [False, True])
def test_any_object_with_encode_decode_and_w_dec_is_used_as_it_is(pairs: bool) -> None:
    theirs = Theirs(pairs)
    sae = sw.load_sae(theirs)
    dense = torch.tanh(X @ theirs.W_enc + theirs.b).relu()
    if pairs:
        dense = dense * (dense >= dense.topk(4).values[:, -1:])
    assert (sae.hook_name, sae.model_name, sae.d_in, sae.d_sae) == ("blocks.4.hook_resid_post", "tiny", D_IN, D_SAE)
    torch.testing.assert_close(sae.encode(X).dense(D_SAE), dense)
    torch.testing.assert_close(sae.reconstruct(X), (dense @ theirs.W_dec * 2 + 1).detach())
    torch.testing.assert_close(sae.decode(sae.encode(X)), (dense @ theirs.W_dec * 2 + 1).detach())
    torch.testing.assert_close(sae.feature_acts(X, torch.tensor([3, 1])), dense[:, [3, 1]])
    assert sae.encode(X.reshape(5, 1, D_IN)).values.shape[:2] == (5, 1)
    assert sae.hash() == sw.load_sae(Theirs(pairs)).hash()
    theirs.b += 1
    assert sae.hash() != sw.load_sae(Theirs(pairs)).hash()
    assert not any(t.requires_grad for t in sae.tensors().values())
    with pytest.raises(TypeError, match="its own library"):
        files.save(sae, "never-written")


def test_our_own_sae_as_a_foreign_object_gives_the_same(tmp_path: Path) -> None:
    ours = _saved()
    wrapped = SimpleNamespace(
        encode=lambda x: ours.encode(x).dense(D_SAE),
        decode=lambda acts: acts @ ours.W_dec + ours.b_dec,
        W_dec=ours.W_dec,
    )
    sae = sw.load_sae(wrapped, hook_name="blocks.0.hook_resid_post")
    torch.testing.assert_close(sae.encode(X).dense(D_SAE), ours.encode(X).dense(D_SAE))
    torch.testing.assert_close(sae.reconstruct(X), ours.reconstruct(X))
    assert sae.hook_name == "blocks.0.hook_resid_post"


@pytest.mark.parametrize("lacking", ["encode", "decode", "W_dec"])
def test_an_object_that_lacks_something_is_told_what(lacking: str) -> None:
    parts = {"encode": lambda x: x, "decode": lambda x: x, "W_dec": torch.ones(2, 2)}
    del parts[lacking]
    with pytest.raises(TypeError, match=f"lacks {lacking}"):
        sw.load_sae(SimpleNamespace(**parts))


def test_features_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="fires below 0"):
        sw.load_sae(SimpleNamespace(encode=lambda x: x - 1, decode=lambda x: x, W_dec=torch.eye(4)))


def test_unknown_files_are_listed_with_the_known_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "deep").mkdir()
    shutil.copytree(FIXTURES / "saelens" / "topk", tmp_path / "deep" / "topk")
    with pytest.raises(ValueError, match=r"notes\.txt.*Known: Llama Scope") as error:
        sw.load_sae(tmp_path)
    assert "SAELens (sae_weights.safetensors, cfg.json)" in str(error.value)
    with pytest.raises(ValueError, match="Perhaps you mean the folder"):
        sw.load_sae(tmp_path / "deep")


def test_a_pickle_is_refused_with_the_call_that_opens_it() -> None:
    case = FIXTURES / "dictionary_learning" / "AutoEncoder"
    with pytest.raises(ValueError, match=r"can run code.*sw\.load_sae\(.*allow_pickle=True\)"):
        sw.load_sae(case)
    assert sw.load_sae(case, allow_pickle=True).d_sae == 24


class Bomb:
    def __reduce__(self):
        return (Path("pwned").touch, ())


def test_an_allowed_pickle_still_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**tensors(), "W_enc": Bomb()}, tmp_path / "ae.pt")
    with pytest.raises(ValueError, match="holds more than tensors"):
        sw.load_sae(tmp_path, allow_pickle=True, architecture="standard")
    assert not (tmp_path / "pwned").exists()


def test_a_pickled_view_that_would_grow_is_refused(tmp_path: Path) -> None:
    huge = torch.ones(1).expand(1 << 20, 1 << 20)
    torch.save({**tensors(), "W_enc": huge}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="not a plain tensor"):
        sw.load_sae(tmp_path, allow_pickle=True, k=3, apply_b_dec_to_input=True)


def test_pickled_arrays_in_an_npz_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "params.npz", W_enc=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match="not numbers"):
        sw.load_sae(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "params.npz", W_enc=np.zeros((1 << 12, 1 << 12), np.float32))
    with pytest.raises(ValueError, match="zip bomb"):
        sw.load_sae(tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"architecture": "abstopk"}, "unknown architecture 'abstopk'"),
        ({"architecture": "temporal"}, "unknown architecture 'temporal'"),
        ({"normalize_activations": "magic"}, "normalize_activations 'magic'"),
        ({"activation_fn": "tanh-relu"}, "activation_fn 'tanh-relu'"),
        ({"metadata": {"hook_head_index": 3}}, "single attention head"),
        ({"d_sae": 99}, "disagree about d_in or d_sae"),
        ({"k": 0}, "whole number k from 1"),
        ({"k": "many"}, "k in .* should be a whole number"),
        ({"k": 10**400}, "k in .* should be a whole number"),
        ({"apply_b_dec_to_input": "yes"}, "should be true or false"),
        ({"metadata": ["a"]}, "should be an object"),
    ],
)
def test_configs_that_mean_something_else_are_refused(tmp_path: Path, change: dict, match: str) -> None:
    folder = tmp_path / "sae"
    shutil.copytree(FIXTURES / "saelens" / "topk", folder)
    config = json.loads((folder / "cfg.json").read_text()) | change
    (folder / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=match):
        sw.load_sae(folder)


def test_a_transcoder_without_its_output_hook_asks_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "sae"
    shutil.copytree(FIXTURES / "saelens" / "skip_transcoder", folder)
    config = json.loads((folder / "cfg.json").read_text())
    del config["metadata"]["hook_name_out"]
    (folder / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="pass hook_name_out="):
        sw.load_sae(folder)
    assert sw.load_sae(folder, hook_name_out="layers.2.mlp").hook_name_out == "blocks.2.mlp.hook_out"


def test_a_finetuned_scale_multiplies_what_is_decoded(tmp_path: Path) -> None:
    """No installable SAELens reads it any more; the formula is SAELens 5's ``apply_finetuning_scaling_factor``."""
    scale = torch.rand(D_SAE) + 0.5
    save_file(tensors() | {"scaling_factor": scale}, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"finetuning_scaling_factor": True}))
    sae, plain = sw.load_sae(tmp_path), sw.load_sae(tensors(), architecture="standard", apply_b_dec_to_input=True)
    acts = plain.encode(X).dense(D_SAE)
    torch.testing.assert_close(sae.encode(X).dense(D_SAE), acts)
    torch.testing.assert_close(sae.reconstruct(X), acts * scale @ plain.W_dec + plain.b_dec)


def test_topk_and_batchtopk_files_without_config_ask_which(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "dictionary_learning" / "AutoEncoderTopK" / "ae.pt", tmp_path)
    with pytest.raises(ValueError, match=r"pass architecture=, one of .*AutoEncoderTopK"):
        sw.load_sae(tmp_path, allow_pickle=True)
    topk = sw.load_sae(tmp_path, allow_pickle=True, architecture="AutoEncoderTopK")
    assert topk.hash() == sw.load_sae(FIXTURES / "dictionary_learning" / "AutoEncoderTopK", allow_pickle=True).hash()


@pytest.mark.parametrize("name", ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder",
                                  "MatryoshkaBatchTopKSAE"])  # fmt: skip
def test_other_classes_are_known_by_their_tensors(tmp_path: Path, name: str) -> None:
    shutil.copy(FIXTURES / "dictionary_learning" / name / "ae.pt", tmp_path)
    whole = sw.load_sae(FIXTURES / "dictionary_learning" / name, allow_pickle=True)
    assert sw.load_sae(tmp_path, allow_pickle=True).hash() == whole.hash()


def test_a_cross_layer_transcoder_is_refused(tmp_path: Path) -> None:
    found = {"w_enc": torch.ones(4, 6), "b_enc": torch.ones(6), "w_dec": torch.ones(6, 3, 4), "b_dec": torch.ones(3, 4)}
    save_file(found | {"threshold": torch.ones(6)}, tmp_path / "params.safetensors")
    with pytest.raises(ValueError, match=r"w_dec in .* should be a matrix"):
        sw.load_sae(tmp_path)
