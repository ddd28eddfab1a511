"""Run the notebooks, keep their receipts, and build the site.

The names below are all that others need: :func:`sync` keeps the ``.ipynb`` files equal to their sources,
:func:`execute` and :func:`execute_all` run chapters, :func:`build` makes the site, and :func:`book` does all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Receipt", "RunError", "SiteError", "book", "build", "execute", "execute_all", "sync"]

if TYPE_CHECKING:
    from mmlab.publish.committed import sync
    from mmlab.publish.make import book
    from mmlab.publish.run.receipt import Receipt
    from mmlab.publish.run.runner import RunError, execute, execute_all
    from mmlab.publish.site.build import SiteError, build

_HOME = {
    "Receipt": "mmlab.publish.run.receipt",
    "RunError": "mmlab.publish.run.runner",
    "SiteError": "mmlab.publish.site.build",
    "book": "mmlab.publish.make",
    "build": "mmlab.publish.site.build",
    "execute": "mmlab.publish.run.runner",
    "execute_all": "mmlab.publish.run.runner",
    "sync": "mmlab.publish.committed",
}


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'mmlab.publish' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
