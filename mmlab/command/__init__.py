"""The ``mmlab`` command."""
