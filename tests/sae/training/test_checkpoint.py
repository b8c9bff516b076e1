"""A checkpoint is whole or not there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from saewidgets.sae.training import checkpoint

TENSORS = {"W": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3).bfloat16(), "none": torch.zeros(0, 4)}
NUMBERS = {"step": 3, "fvu": math.inf, "nested": {"state": 2**127 + 1}, "name": "é"}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    checkpoint.save(folder, TENSORS, NUMBERS)
    found = checkpoint.load(folder)
    assert found is not None
    tensors, numbers = found
    assert numbers == NUMBERS
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert all(tensors[name].dtype == TENSORS[name].dtype for name in TENSORS)
    assert [path.name for path in folder.iterdir()] == [checkpoint.NAME]


def test_turned_tensors_and_parameters_are_saved(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path, {"turned": base.T, "parameter": base.clone().requires_grad_()}, {})
    found = checkpoint.load(tmp_path)
    assert found is not None and torch.equal(found[0]["turned"], base.T)
    assert not found[0]["parameter"].requires_grad


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "not even a folder") is None


def half_a_file(tensors: dict[str, Tensor], path: Path, **options: Any) -> None:
    save_file(tensors, path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    raise OSError("No space left on device")


def test_a_failing_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, TENSORS, {"step": 1})
    before = (tmp_path / checkpoint.NAME).read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", half_a_file)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, {"W": torch.ones(2)}, {"step": 2})
    assert (tmp_path / checkpoint.NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]


def test_what_a_killed_write_left_behind_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill runs no `finally`; gigabytes of half a checkpoint must not gather with every one."""
    checkpoint.save(tmp_path, TENSORS, {"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", half_a_file)
        patch.setattr(Path, "unlink", lambda *_args, **_options: None)
        with pytest.raises(OSError):
            checkpoint.save(tmp_path, {"W": torch.ones(2)}, {"step": 2})
    assert len(list(tmp_path.iterdir())) == 2
    found = checkpoint.load(tmp_path)
    assert found is not None and found[1] == {"step": 1}
    checkpoint.save(tmp_path, TENSORS, {"step": 3})
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_tensor_that_is_not_finite_is_refused(tmp_path: Path, bad: float) -> None:
    checkpoint.save(tmp_path, TENSORS, {"step": 1})
    before = (tmp_path / checkpoint.NAME).read_bytes()
    with pytest.raises(ValueError, match=r"the earlier checkpoint is kept: W_dec is not finite"):
        checkpoint.save(tmp_path, {**TENSORS, "W_dec": torch.tensor([1.0, bad])}, {"step": 2})
    assert (tmp_path / checkpoint.NAME).read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"\xff" * len(data),
        lambda data: data[:20] + b"\xff" * 20 + data[40:],
        lambda data: b"not a safetensors file at all, just some text",
    ],
)
def test_a_damaged_file(tmp_path: Path, damage: Any) -> None:
    checkpoint.save(tmp_path, TENSORS, NUMBERS)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is not a whole checkpoint .*: delete it to begin"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, {"run": "{"}])
def test_tensors_that_are_no_checkpoint(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"W": torch.ones(2)}, tmp_path / checkpoint.NAME, metadata=metadata)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        checkpoint.load(tmp_path)
