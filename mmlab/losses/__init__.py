"""Losses that two or more methods use: pure functions of tensors."""
