"""Dictionary learning: a trainer, a bounded shuffle buffer, checkpoints, and a run that can be watched."""
