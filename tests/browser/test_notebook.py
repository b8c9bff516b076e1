"""The quickstart notebook, run from top to bottom in JupyterLab as a newcomer would."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
BINDER_GB = 2.0


@pytest.fixture
def quickstart(lab, server_folder):
    shutil.copy(NOTEBOOK, server_folder / "quickstart.ipynb")
    lab.open("quickstart.ipynb")
    yield lab
    lab.open()


def test_every_cell_runs_and_the_memory_fits_on_binder(quickstart):
    lab = quickstart
    lab.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    lab.page.wait_for_function(
        """() => {
          const cells = window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === "code");
          const failed = c => c.model.outputs.toJSON().some(o => o.output_type === "error");
          const done = c => c.model.executionCount !== null && c.promptNode.textContent !== "[*]:";
          return cells.some(failed) || cells.every(done);
        }""",
        timeout=300_000,
    )
    outputs = lab.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets
          .filter(c => c.model.type === "code").flatMap(c => c.model.outputs.toJSON())"""
    )
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert errors == []
    lab.idle(300_000)
    lab.page.locator(".saew-heatmap[data-ready]").first.wait_for(timeout=60_000)
    lab.page.locator(".saew-badge").filter(has_text="fits").first.wait_for(timeout=120_000)
    peak = lab.ask("__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss") / 2**20
    print(f"peak memory of the notebook's kernel: {peak:.2f} GB")
    assert peak < BINDER_GB
