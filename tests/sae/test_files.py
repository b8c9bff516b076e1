"""An SAE on disk: round trips, and every damaged folder a one-line error."""

from __future__ import annotations

import json
import pickle
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from saewidgets.sae import files
from saewidgets.sae.activations import TopK
from saewidgets.sae.autoencoder import SparseAutoencoder

Make = Callable[..., SparseAutoencoder]
META = ("hook_name", "model_name", "prepend_bos", "apply_b_dec_to_input", "center_input", "card")


@pytest.fixture
def folder(tiny_sae: SparseAutoencoder, tmp_path: Path) -> Path:
    return files.save(tiny_sae, tmp_path / "sae")


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    config |= changes
    (folder / "cfg.json").write_text(json.dumps({k: v for k, v in config.items() if v != "REMOVED"}))


def edit_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors: dict[str, Any] = load_file(folder / "sae_weights.safetensors") | changes
    save_file({name: t for name, t in tensors.items() if t is not None}, folder / "sae_weights.safetensors")


@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64], ids=str)
def test_round_trip(make_sae: Make, tmp_path: Path, activation: str, dtype: torch.dtype) -> None:
    sae = make_sae(
        activation,
        dtype=dtype,
        hook_name="blocks.1.hook_resid_post",
        model_name="tiny",
        prepend_bos=False,
        apply_b_dec_to_input=False,
        center_input=True,
        card={"variance_explained": 0.5, "note": "é"},
    )
    again = files.load(files.save(sae, tmp_path / "a" / "b"), dtype=dtype)
    assert again.hash() == sae.hash()
    assert type(again.activation) is type(sae.activation)
    assert [getattr(again, name) for name in META] == [getattr(sae, name) for name in META]
    for name, tensor in sae.tensors().items():
        assert torch.equal(again.tensors()[name], tensor)


def test_a_folder_is_readable_by_others_as_the_user_wishes(folder: Path) -> None:
    ordinary = folder / "ordinary"
    ordinary.write_text("")
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode), path


def test_saving_again_replaces(folder: Path, make_sae: Make) -> None:
    other = make_sae("jumprelu", seed=9)
    files.save(other, folder)
    assert files.load(folder).hash() == other.hash()
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "cfg.json", "sae_weights.safetensors"]


@pytest.mark.parametrize("failing", ["weights", "card"])
def test_a_failing_write_leaves_the_old_sae_and_no_litter(
    folder: Path, tiny_sae: SparseAutoencoder, make_sae: Make, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = make_sae("relu", seed=9, card={"bad": object()} if failing == "card" else {})

    def full_disk(tensors: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    if failing == "weights":
        monkeypatch.setattr(files, "save_file", full_disk)
    with pytest.raises((OSError, TypeError)):
        files.save(other, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert files.load(folder).hash() == tiny_sae.hash()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cfg.json in .*nowhere"):
        files.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {name}"):
        files.load(folder)


def test_the_card_may_be_missing(folder: Path) -> None:
    (folder / "card.json").unlink()
    assert files.load(folder).card == {}


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1, -1000])
def test_truncated_weights(folder: Path, keep: int) -> None:
    path = folder / "sae_weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"sae_weights.safetensors is damaged"):
        files.load(folder)


def test_weights_of_noise(folder: Path) -> None:
    (folder / "sae_weights.safetensors").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(ValueError, match="is damaged or not a safetensors file"):
        files.load(folder)


class Bomb:
    """Sets the alarm off when it is unpickled."""

    exploded: list[str] = []

    def __reduce__(self) -> Any:
        return (Bomb.exploded.append, ("boom",))


def test_no_pickle_is_ever_read(folder: Path) -> None:
    (folder / "sae_weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a safetensors file"):
        files.load(folder)
    torch.save({"W_enc": torch.zeros(2, 2)}, folder / "sae_weights.safetensors")
    with pytest.raises(ValueError, match="not a safetensors file"):
        files.load(folder)
    assert Bomb.exploded == []


@pytest.mark.parametrize("name", ["cfg.json", "card.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b"null"])
def test_bad_json(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        files.load(folder)


def test_missing_tensors_are_named(folder: Path) -> None:
    edit_weights(folder, W_dec=None, b_enc=None)
    with pytest.raises(ValueError, match=r"lacks W_dec, b_enc; it holds W_enc, b_dec"):
        files.load(folder)


def test_a_missing_threshold(folder: Path) -> None:
    edit_config(folder, architecture="jumprelu")
    with pytest.raises(ValueError, match="lacks threshold"):
        files.load(folder)


@pytest.mark.parametrize("k", ["REMOVED", None, 0, -1, 49, 2.5, "4"])
def test_an_impossible_k(folder: Path, k: Any) -> None:
    edit_config(folder, k=k)
    with pytest.raises(ValueError, match=r"\bk\b"):
        files.load(folder)


@pytest.mark.parametrize("architecture", ["abstopk", "REMOVED", None, 3])
def test_an_unknown_architecture(folder: Path, architecture: Any) -> None:
    edit_config(folder, architecture=architecture)
    with pytest.raises(ValueError, match="architecture"):
        files.load(folder)


@pytest.mark.parametrize(
    "setting",
    [
        {"normalize_activations": "magic"},
        {"reshape_activations": "pooled"},
        {"rescale_acts_by_decoder_norm": "sometimes"},
    ],
    ids=str,
)
def test_settings_it_cannot_honour_are_refused_not_ignored(folder: Path, setting: dict[str, Any]) -> None:
    edit_config(folder, **setting)
    with pytest.raises(ValueError, match=next(iter(setting))):
        files.load(folder)


@pytest.mark.parametrize("metadata", ["gpt2", [1]])
def test_metadata_of_another_kind(folder: Path, metadata: Any) -> None:
    edit_config(folder, metadata=metadata)
    with pytest.raises(ValueError, match="metadata"):
        files.load(folder)


def test_no_metadata(folder: Path) -> None:
    edit_config(folder, metadata="REMOVED")
    assert files.load(folder).hook_name == ""


def test_weights_that_are_not_finite(folder: Path) -> None:
    edit_weights(folder, b_dec=torch.full((32,), float("nan")))
    with pytest.raises(ValueError, match="b_dec holds NaN"):
        files.load(folder)


@pytest.mark.parametrize("shape", [(), (32,), (48, 32), (32, 48, 1)])
def test_weights_of_another_shape(folder: Path, shape: tuple[int, ...]) -> None:
    edit_weights(folder, W_enc=torch.zeros(shape))
    with pytest.raises(ValueError, match=r"shape|features"):
        files.load(folder)


def test_another_dtype_is_asked_for(folder: Path) -> None:
    assert files.load(folder, dtype=torch.float16).dtype == torch.float16


def test_a_weight_that_shares_memory_is_saved(make_sae: Make, tmp_path: Path) -> None:
    sae = make_sae("relu", d_in=8, d_sae=12)
    tied = replace(sae, W_dec=sae.W_enc.T, activation=TopK(2))
    assert files.load(files.save(tied, tmp_path)).hash() == tied.hash()
