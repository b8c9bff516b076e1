"""Names on the Hugging Face hub: only what one SAE needs is fetched, resumed where it was left."""

from __future__ import annotations

import os
import re
from pathlib import Path

SAFE, PICKLED = (".safetensors", ".npz"), (".pt", ".pth")
TIMEOUT = 10.0  # seconds to wait for an answer
NAME = re.compile(r"([\w.-]+/[\w.-]+?)(?:/(.+?))?/?")


def local(source: str | os.PathLike[str], allow_pickle: bool = False) -> Path:
    """``source`` itself, if it exists here, else the folder it was fetched to from the hub.

    Args:
        source: a path, or ``"owner/repository"`` or ``"owner/repository/folder/in/it"``.
        allow_pickle: whether a ``.pt`` may be fetched where there is nothing safer.

    Raises:
        FileNotFoundError: when it is neither here nor to be had; the message says where to put the files.
        ValueError: when the repository holds several SAEs, or only pickles that were not allowed.
    """
    path = Path(source).expanduser()
    match = NAME.fullmatch(os.fspath(source).replace(os.sep, "/"))
    if path.exists():
        return path
    if isinstance(source, Path) or not match or path.is_absolute() or ".." in path.parts or match[1].startswith("."):
        raise FileNotFoundError(f"there is no file or folder {path}")
    return _fetched(match[1], match[2] or "", allow_pickle)


def _fetched(repository: str, folder: str, allow_pickle: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    name = f"{repository}/{folder}".rstrip("/")
    try:
        # model_info, not list_repo_files: the latter tries again for a quarter of a minute where there is no network.
        files = [file.rfilename for file in HfApi().model_info(repository, timeout=TIMEOUT).siblings or []]
        wanted = _wanted(files, name, folder, allow_pickle)
        root = snapshot_download(repository, allow_patterns=wanted)
    except ValueError:
        raise
    except Exception as error:  # whatever the network raises, the remedy is the same
        cached = _cached(repository, folder)
        if cached is not None:
            return cached
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileNotFoundError(
            f"{name!r} is not a path here, and the hub cannot be reached or does not have it ({reason}). Put the SAE's "
            f"files into a folder, for example ./{name}, and pass that path"
        ) from None
    return Path(root) / folder


def _wanted(files: list[str], name: str, folder: str, allow_pickle: bool) -> list[str]:
    """The files of one SAE: its weights, the configs beside them and above."""
    here = [file for file in files if str(Path(file).parent) in (folder or ".", f"{folder}/checkpoints".lstrip("/"))]
    weights = [file for file in here if file.endswith(SAFE)]
    pickles = [file for file in here if file.endswith(PICKLED)]
    if not weights and pickles and not allow_pickle:
        raise ValueError(
            f"{name} holds only Python pickles ({pickles[0]}), and opening one can run code hidden in it. If you trust "
            f"where it comes from: sw.load_sae({name!r}, allow_pickle=True)"
        )
    if not weights and not pickles:
        inner = sorted({str(Path(file).parent) for file in files if file.endswith((*SAFE, *PICKLED))})
        inner = [path for path in inner if path.startswith(folder)]
        shown = ", ".join(inner[:6]) + (", …" if len(inner) > 6 else "")
        raise ValueError(
            f"{name} holds no SAE itself; add one of its folders, as in '{name}/{inner[0]}': {shown}"
            if inner
            else f"{name} holds no weights that could be an SAE"
        )
    above = str(Path(folder).parent / "config.json") if folder else "config.json"
    return [*(weights or pickles), *(file for file in here if file.endswith(".json")), above]


def _cached(repository: str, folder: str) -> Path | None:
    """What an earlier session fetched, if it is whole."""
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(repository, local_files_only=True)) / folder
    except Exception:  # nothing cached: the first error is the one to show
        return None
    found = [file for place in (path, path / "checkpoints") if place.is_dir() for file in place.iterdir()]
    return path if any(file.suffix in (*SAFE, *PICKLED) for file in found) else None
