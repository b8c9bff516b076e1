"""TrainingMonitor: the training of a dictionary, watched and steered while it goes on."""

from __future__ import annotations

import traitlets as t

from saewidgets.widgets.shared.bundle import bundle_css, bundle_esm
from saewidgets.widgets.shared.run import base
from saewidgets.widgets.shared.run.protocol import TrainingRun
from saewidgets.widgets.shared.run.wire import plain

SCRIPTS = (*base.SCRIPTS, "training/axis.js", "training/chart.js", "training/charts.js", "training/training.js")
STYLES = (*base.STYLES, "training/training.css")


class TrainingMonitor(base.RunWidget):
    """Loss, FVU, L0 and dead features of a run as it goes, with buttons to pause, resume and stop it.

    Example:
        >>> monitor = TrainingMonitor(run)                      # doctest: +SKIP
        >>> monitor.frame.tail()                                # doctest: +SKIP
        >>> sae = monitor.sae                                   # doctest: +SKIP

    Args:
        run: a training that goes on in its own thread.
        log_scale: see the trait.
    """

    _esm = bundle_esm(SCRIPTS)
    _css = bundle_css(STYLES)
    _page_traits = (*base.RunWidget._page_traits, "log_scale")

    log_scale = t.Bool(False).tag(sync=True)
    """Draw loss and FVU on a logarithmic axis; two-way."""

    def __init__(self, run: TrainingRun, *, log_scale: bool = False) -> None:
        super().__init__(run, log_scale=log_scale)

    def _page_title(self) -> str:
        return f"Training · {plain(self.run.title)}"
