"""The front door of the ``mmlab`` command: ``python -m mmlab.cli`` is ``mmlab``."""

from mmlab.command.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
