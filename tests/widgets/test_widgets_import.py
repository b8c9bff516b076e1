"""Importing the widgets stays light."""

import subprocess
import sys

import pytest

from saewidgets.widgets import FeatureMap, TokenHeatmap, TrustPanel


def test_widgets_import_no_torch():
    code = "import sys, saewidgets.widgets; print(sorted({'torch', 'transformers', 'plotly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("widget", [FeatureMap, TokenHeatmap, TrustPanel])
def test_one_module_with_nothing_to_load(widget):
    esm, css = str(widget._esm), str(widget._css)
    assert esm.count("export ") == 1
    assert esm.endswith("export default { render };\n")
    for word in ("import ", "innerHTML", "insertAdjacentHTML", "fetch(", "http:", "https:", "eval("):
        assert word not in esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in css
    assert "@import" not in css
