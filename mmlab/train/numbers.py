"""Numbers as people have them (Python's, NumPy's, a tensor with one value) as Python's own, which JSON can hold."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["as_float", "as_whole"]


def as_float(value: Any) -> float | None:
    """The number, or None if it is no real number: a text, a bool, NaN, an array of several."""
    number = _scalar(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
        return None
    return float(number)


def as_whole(value: Any) -> int | None:
    """The whole number, or None if it is none: a text, a bool, a float, even one without a fraction."""
    number = _scalar(value)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _scalar(value: Any) -> Any:
    """What ``item()`` gives for a NumPy scalar, or an array or tensor of one value; anything else as it is."""
    if not hasattr(value, "item") or not hasattr(value, "dtype"):
        return value
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError):  # several values, or none
        return value
