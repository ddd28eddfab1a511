"""Blocks that two or more methods use. They know no method; shapes are on the line."""
