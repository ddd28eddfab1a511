"""Synthetic worlds with a known ceiling, one module each."""
