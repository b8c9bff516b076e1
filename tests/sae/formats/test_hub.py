"""Names on the hub: a local path wins, only what is needed is fetched, and without a network the way out is shown."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

import saewidgets as sw

FIXTURES = Path(__file__).parent / "fixtures"


class Hub:
    """The two calls the hub is asked with, answered from folders; what was fetched is kept."""

    def __init__(self, root: Path) -> None:
        self.root, self.fetched = root, list[str]()

    def list_repo_files(self, repository: str) -> list[str]:
        top = self.root / repository
        if not top.is_dir():
            raise ConnectionError(f"404 for {repository}")
        return [path.relative_to(top).as_posix() for path in sorted(top.rglob("*")) if path.is_file()]

    def model_info(self, repository: str, timeout: float) -> SimpleNamespace:
        assert timeout <= 10
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=f) for f in self.list_repo_files(repository)])

    def snapshot_download(self, repository: str, allow_patterns: list[str] | None = None, **options: Any) -> str:
        if options.get("local_files_only"):
            raise FileNotFoundError("nothing in the cache")
        patterns = allow_patterns or ["*"]
        self.fetched += [f for f in self.list_repo_files(repository) if any(fnmatch(f, p) for p in patterns)]
        return str(self.root / repository)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub(tmp_path / "served")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: served)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", served.snapshot_download)
    monkeypatch.chdir(tmp_path)
    for name, case in {
        "eleuther/sae-pythia/layers.5": "sparsify/layers.5",
        "eleuther/sae-pythia/layers.5.mlp": "sparsify/layers.5.mlp",
        "someone/one-sae": "saelens/topk",
        "old/pickles/trainer_0": "dictionary_learning/AutoEncoder",
        "fnlp/scope/Llama3_1-8B-Base-L15R-8x": "llama_scope/Llama3_1-8B-Base-L15R-8x",
    }.items():
        shutil.copytree(FIXTURES / case, served.root / name, ignore=shutil.ignore_patterns("expected.*"))
    shutil.copy(FIXTURES / "sparsify" / "config.json", served.root / "eleuther" / "sae-pythia")
    yield served


def test_one_folder_of_many_is_fetched(hub: Hub) -> None:
    sae = sw.load_sae("eleuther/sae-pythia/layers.5")
    assert sae.hash() == sw.load_sae(FIXTURES / "sparsify" / "layers.5").hash()
    assert sae.model_name == "EleutherAI/pythia-160m"
    weights = [file for file in hub.fetched if file.endswith(".safetensors")]
    assert all(file.startswith("layers.5/") for file in weights) and weights
    assert "config.json" in hub.fetched


def test_a_repository_that_is_one_sae_needs_no_folder(hub: Hub) -> None:
    assert sw.load_sae("someone/one-sae").hash() == sw.load_sae(FIXTURES / "saelens" / "topk").hash()


def test_weights_one_level_deeper_are_found(hub: Hub) -> None:
    assert sw.load_sae("fnlp/scope/Llama3_1-8B-Base-L15R-8x").d_sae == 24


def test_several_saes_are_listed_and_none_is_fetched(hub: Hub) -> None:
    with pytest.raises(ValueError, match=r"add one of its folders, as in 'eleuther/sae-pythia/layers\.5'"):
        sw.load_sae("eleuther/sae-pythia")
    assert hub.fetched == []


def test_pickles_are_not_even_fetched_unless_allowed(hub: Hub) -> None:
    with pytest.raises(ValueError, match=r"sw\.load_sae\('old/pickles/trainer_0', allow_pickle=True\)"):
        sw.load_sae("old/pickles/trainer_0")
    assert hub.fetched == []
    assert sw.load_sae("old/pickles/trainer_0", allow_pickle=True).d_sae == 24


def test_a_local_path_wins(hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "saelens" / "gated", tmp_path / "someone" / "one-sae")
    assert sw.load_sae("someone/one-sae").hash() == sw.load_sae(FIXTURES / "saelens" / "gated").hash()
    assert hub.fetched == []


def test_what_is_nowhere_says_where_to_put_it(hub: Hub) -> None:
    with pytest.raises(FileNotFoundError, match=r"\./nobody/nothing, and pass that path"):
        sw.load_sae("nobody/nothing")


@pytest.mark.parametrize("name", ["nothing-here", "../up/there", "/abs/olute", "./a/b", "a/../b", ""])
def test_what_is_no_hub_name_is_only_looked_for_here(hub: Hub, name: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError)):
        sw.load_sae(name)
    assert hub.fetched == []


def test_offline_fails_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    code = "import saewidgets as sw; sw.load_sae('EleutherAI/sae-pythia-70m-32k/layers.3')"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(Path(sw.__file__).parents[1])}
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert time.perf_counter() - started < 60
    assert "Put the SAE's files into a folder, for example ./EleutherAI/sae-pythia-70m-32k/layers.3" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("FileNotFoundError")


def test_without_a_network_the_error_comes_soon(tmp_path: Path) -> None:
    """Nothing is stubbed: the address the hub is looked for at refuses the connection."""
    code = "import saewidgets as sw; sw.load_sae('EleutherAI/sae-pythia-70m-32k/layers.3')"
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment |= {"PYTHONPATH": str(Path(sw.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
    )
    assert "Put the SAE's files into a folder" in done.stderr
