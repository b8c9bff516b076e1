"""Questions put to a model and its SAE together: tokens, trust, maxima, steering."""
