"""The training monitor."""

from saewidgets.widgets.shared.run.protocol import TrainingRun
from saewidgets.widgets.training.training import TrainingMonitor

__all__ = ["TrainingMonitor", "TrainingRun"]
