"""Does a picture show what its prompt tells? Facts that were read off pictures, held against facts that were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["faithfulness", "hits"]

Facts = Mapping[str, Any]
"""Facts by name. Several values of ``positions`` are a tuple; the fact ``position`` is one of them."""


def hits(read: Sequence[Facts], told: Sequence[Facts]) -> dict[str, NDArray[np.float64]]:
    """For each fact and picture: 1 if the picture shows it, 0 if not, and not a number if it was not told.

    A told ``position`` is shown if something lies there, whatever lies elsewhere; all else must be the same value.

    Args:
        read: What was read off each picture, B.
        told: What its prompt tells, B.

    Returns:
        By fact, in the order of first telling, (B,).

    Raises:
        ValueError: If the numbers of pictures and prompts differ, or a fact was told that is never read.
    """
    if len(read) != len(told):
        raise ValueError(f"There are {len(read)} pictures and {len(told)} prompts: one prompt for each picture.")
    names = list(dict.fromkeys(name for facts in told for name in facts))
    found = {name: np.full(len(told), np.nan) for name in names}
    for row, (seen, asked) in enumerate(zip(read, told, strict=True)):
        for name, value in asked.items():
            if name == "position":
                shown = value in seen.get("positions", ())
            elif name in ("shape", "size", "positions"):  # there may be nothing that has one
                shown = seen.get(name) == value
            elif name not in seen:
                raise ValueError(f"The fact {name!r} was told and is not read off pictures: {', '.join(seen)} are.")
            else:
                shown = seen[name] == value
            found[name][row] = shown
    return found


def faithfulness(read: Sequence[Facts], told: Sequence[Facts]) -> dict[str, float]:
    """Share of the pictures that show a fact, of those whose prompt tells it; ``all`` is all that was told at once.

    Args:
        read: What was read off each picture, B.
        told: What its prompt tells, B.

    Returns:
        By fact, from 0 to 1.

    Raises:
        ValueError: As :func:`hits`; or if no prompt tells a fact.
    """
    found = hits(read, told)
    if not found:
        raise ValueError("No prompt tells a fact: there is nothing that a picture could show.")
    shares = {name: float(np.nanmean(values)) for name, values in found.items()}
    rows = np.stack(list(found.values()), axis=1)
    every = np.nanmin(rows[~np.isnan(rows).all(axis=1)], axis=1)
    return shares | {"all": float(every.mean())}
