"""Figures, tables, numbers and widgets that read the same in Jupyter, on Colab and on the site."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["claim", "claimed", "frames", "record", "say", "show", "table", "table_over_seeds"]

if TYPE_CHECKING:
    from mmlab.viz.claims import claim, claimed
    from mmlab.viz.display import record, say, show, table, table_over_seeds
    from mmlab.viz.widgets import frames

_HOME = {
    "claim": "mmlab.viz.claims",
    "claimed": "mmlab.viz.claims",
    "frames": "mmlab.viz.widgets",
    "record": "mmlab.viz.display",
    "say": "mmlab.viz.display",
    "show": "mmlab.viz.display",
    "table": "mmlab.viz.display",
    "table_over_seeds": "mmlab.viz.display",
}


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'mmlab.viz' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
