"""Real data sets, one module each."""
