"""Importing the package is cheap, and its public names are all there."""

from __future__ import annotations

import subprocess
import sys

import saewidgets as sw


def test_import_pulls_in_neither_torch_nor_pandas() -> None:
    code = "import sys, saewidgets; print([m for m in ('torch', 'pandas', 'transformers', 'umap') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_can_be_had() -> None:
    for name in sw.__all__:
        assert getattr(sw, name).__doc__


def test_demo_stays_a_function_after_its_room_was_imported() -> None:
    import saewidgets.demos

    assert sw.demo is saewidgets.demos.demo


def test_unknown_name_is_an_attribute_error() -> None:
    try:
        sw.no_such_name  # type: ignore[attr-defined]
    except AttributeError as error:
        assert "no_such_name" in str(error)
    else:
        raise AssertionError("expected an AttributeError")
