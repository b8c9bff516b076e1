"""The rooms and who may import whom (README, Architecture), enforced on the syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import saewidgets

ROOT = Path(saewidgets.__file__).parent
NUMBERS = {"numpy", "pandas", "scipy"}
ROOMS = {
    "records": (set(), NUMBERS),
    "sae": ({"records"}, {"torch", "safetensors", "huggingface_hub", "tqdm", *NUMBERS}),
    "lm": (
        {"records"},
        {"torch", "huggingface_hub", "transformers", "transformer_lens", "safetensors", "platformdirs", "numpy"},
    ),
    "geometry": ({"records"}, {"torch", "umap", "sklearn", "threadpoolctl", "tqdm", *NUMBERS}),
    "index": ({"records", "sae", "lm"}, {"torch", "safetensors", "tqdm", *NUMBERS}),
    "analysis": ({"records", "sae", "lm", "geometry", "index"}, {"torch", "sklearn", "tqdm", *NUMBERS}),
    "widgets": ({"records"}, {"anywidget", "ipywidgets", "traitlets", "plotly", "IPython", *NUMBERS}),
    "session": ({"records", "sae", "lm", "geometry", "index", "analysis", "widgets"}, {"torch", *NUMBERS}),
    "learn": ({"records", "sae", "lm", "analysis", "widgets"}, set()),
    "demos": (
        {"records", "sae", "lm", "geometry", "index", "analysis", "widgets", "session"},
        {"torch", "transformers", "tqdm", *NUMBERS},
    ),
    "cli": ({"demos"}, set()),
    "__init__": ({"records", "sae", "session", "learn", "widgets", "demos"}, set()),
}


def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, wherever in the file."""
    package = ".".join(["saewidgets", *path.relative_to(ROOT).parts[:-1]])
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            found |= (
                {f"{base}.{node.module or alias.name}" for alias in node.names} if node.level else {node.module or ""}
            )
    return found


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in files()} <= ROOMS.keys()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stay_within_the_layers(path: Path) -> None:
    import sys

    room = room_of(path)
    ours, third_party = ROOMS[room]
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "saewidgets":
            target = rest[0] if rest else "__init__"
            assert target == room or target in ours, f"{room} may not import {name}"
        elif top not in sys.stdlib_module_names:
            assert top in third_party, f"{room} may not import {name}"


def test_widgets_never_import_torch_even_inside_functions() -> None:
    assert not [
        path for path in (ROOT / "widgets").rglob("*.py") if "torch" in {n.split(".")[0] for n in imports(path)}
    ]
