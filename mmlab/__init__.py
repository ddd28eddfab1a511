"""mmlab: multimodal models, derived, run and compared honestly.

Importing this package costs nothing: torch and the rest come with the first name that needs them.
Shape comments in this package use B batch, T tokens or time, C channels, D width, H heads, N regions, E edges.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# diffusers imports bitsandbytes, which warns of a kernel for some processors that nobody needs; its errors still speak.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__all__ = ["Batch", "Card", "History", "Method", "__version__", "fit", "generator", "list_methods", "load"]

if TYPE_CHECKING:
    from mmlab.card import Card
    from mmlab.method import Batch, Method
    from mmlab.registry import list_methods, load
    from mmlab.train import History, fit
    from mmlab.train.randomness import generator

_HOME = {
    "Batch": "mmlab.method",
    "Card": "mmlab.card",
    "History": "mmlab.train",
    "Method": "mmlab.method",
    "fit": "mmlab.train",
    "generator": "mmlab.train.randomness",
    "list_methods": "mmlab.registry",
    "load": "mmlab.registry",
}


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'mmlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
