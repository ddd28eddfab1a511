"""Metrics: measures of results, their baselines, and the exact laws that methods are held against."""
