"""The notebooks, run from top to bottom in JupyterLab as a newcomer would."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[2] / "notebooks"
BINDER_GB = 2.0


@pytest.fixture
def notebook(lab, server_folder, request):
    shutil.copy(FOLDER / request.param, server_folder / request.param)
    lab.open(request.param)
    yield lab
    lab.open()


def run_all(lab, seconds: int) -> list[dict]:
    """Run every cell; returns the outputs that are errors."""
    lab.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    lab.page.wait_for_function(
        """() => {
          const cells = window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === "code");
          const failed = c => c.model.outputs.toJSON().some(o => o.output_type === "error");
          const done = c => c.model.executionCount !== null && c.promptNode.textContent !== "[*]:";
          return cells.some(failed) || cells.every(done);
        }""",
        timeout=1000 * seconds,
    )
    outputs = lab.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets
          .filter(c => c.model.type === "code").flatMap(c => c.model.outputs.toJSON())"""
    )
    return [output for output in outputs if output["output_type"] == "error"]


def peak_gb(lab) -> float:
    peak = lab.ask("__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss") / 2**20
    print(f"peak memory of the notebook's kernel: {peak:.2f} GB")
    return peak


@pytest.mark.parametrize("notebook", ["quickstart.ipynb"], indirect=True)
def test_every_cell_runs_and_the_memory_fits_on_binder(notebook):
    lab = notebook
    assert run_all(lab, 300) == []
    lab.idle(300_000)
    lab.page.locator(".saew-heatmap[data-ready]").first.wait_for(timeout=60_000)
    lab.page.locator(".saew-badge").filter(has_text="fits").first.wait_for(timeout=120_000)
    assert peak_gb(lab) < BINDER_GB


@pytest.mark.parametrize("notebook", ["dictionary_learning.ipynb"], indirect=True)
def test_the_dictionary_notebook_learns_what_it_says(notebook):
    lab = notebook
    assert run_all(lab, 900) == []
    assert lab.ask("float(toy.frame.cosine.mean())") >= 0.95
    assert lab.ask("float(crowded.frame.cosine.mean())") < 0.95
    assert lab.ask("small.sae.d_sae") == 512
    assert peak_gb(lab) < BINDER_GB
    if folder := os.environ.get("SAEWIDGETS_SCREENSHOTS"):
        for n, cell in enumerate(lab.page.locator(".jp-Cell-outputArea").all()):
            cell.scroll_into_view_if_needed()
            cell.screenshot(path=f"{folder}/dictionary-{n}.png")


@pytest.mark.parametrize("notebook", ["features.ipynb"], indirect=True)
def test_the_notebook_of_features_links_its_views(notebook):
    lab = notebook
    assert run_all(lab, 600) == []
    lab.idle(300_000)
    assert lab.ask("card.feature") == 5535
    lab.page.locator(".saew-card").first.wait_for(timeout=60_000)
    lab.page.locator(".saew-map").first.wait_for(timeout=60_000)
    lab.ask("setattr(space, 'feature', 2669)")
    lab.expect("card.feature", 2669)
    assert peak_gb(lab) < BINDER_GB
