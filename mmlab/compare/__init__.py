"""What trains or resamples in order to compare: controls, baselines, intervals."""
