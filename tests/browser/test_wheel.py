"""The wheel holds everything: built, installed into a clean environment, a widget opened from there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_front_end_and_demo_files_ship(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "saewidgets").rglob("*"):
        if path.suffix in {".js", ".css", ".py", ".safetensors", ".npy", ".json", ".txt"}:
            assert str(path.relative_to(ROOT)) in shipped


OPEN_A_WIDGET = """
import pathlib, sys
import numpy as np
import saewidgets
from saewidgets import TokenActs, TokenHeatmap
assert pathlib.Path(saewidgets.__file__).is_relative_to(sys.prefix), saewidgets.__file__
acts = TokenActs(
    texts=("ab",), str_tokens=("a", "b"), text=np.zeros(2, np.int32), position=np.arange(2, dtype=np.int32),
    values=np.array([[1.0], [2.0]], np.float32), indices=np.array([[3], [4]], np.int32),
    skipped=np.zeros(2, bool), d_sae=8,
)
TokenHeatmap(acts).save_html("page.html")
"""


def test_a_widget_opens_from_a_clean_environment(wheel: Path, tmp_path: Path, saved: Any) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    site = next((environment / "lib").glob("python*/site-packages"))
    # The third-party packages are those of this environment; saewidgets itself can come from the wheel alone, as
    # the .pth files of a path that was added this way (such as an editable install's) are not read.
    (site / "third_party.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--ignore-installed", str(wheel)], check=True)
    subprocess.run([str(python), "-c", OPEN_A_WIDGET], check=True, cwd=tmp_path)
    page = saved(tmp_path / "page.html")
    page.locator(".saew-heatmap[data-ready]").wait_for()
    assert page.locator(".saew-t").all_inner_texts() == ["a", "b"]
