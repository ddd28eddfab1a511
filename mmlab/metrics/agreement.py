"""How far do people agree? Krippendorff's alpha, for any number of raters and gaps, and Fleiss' kappa."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Scale", "fleiss_kappa", "krippendorff_alpha", "value_counts"]

Scale = Literal["nominal", "ordinal", "interval", "ratio"]
"""What the difference of two values means: not the same, ranks apart, a distance, a proportion."""


def krippendorff_alpha(counts: ArrayLike, scale: Scale = "nominal", values: ArrayLike | None = None) -> float:
    """Krippendorff's alpha: 1 for perfect agreement, 0 for that of chance, below 0 for less than chance.

    Alpha is one minus the disagreement that was observed over the one that is expected if values were dealt out at
    random (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"). Units with fewer than two values say
    nothing about agreement and are left out.

    Args:
        counts: How often each unit was given each value, (U, V); :func:`value_counts` makes it from raw answers.
        scale: What the difference of two values means.
        values: Their numbers, (V,), in rising order; 1, 2, ... if None. Only interval and ratio scales use them.

    Returns:
        Alpha; NaN if no unit has two values, or all values are the same, so that there is nothing to agree about.

    Raises:
        ValueError: If the counts are no table of whole numbers from zero up, or the values do not fit them.
    """
    table = _table(counts)
    numbers = np.arange(1.0, table.shape[1] + 1) if values is None else np.asarray(values, dtype=np.float64)
    if numbers.shape != (table.shape[1],):
        raise ValueError(f"There are {table.shape[1]} columns of counts, but values of shape {numbers.shape}.")
    if scale not in _DISTANCES:
        raise ValueError(f"scale={scale!r}: choose one of {', '.join(_DISTANCES)}.")
    table = table[table.sum(1) >= 2]
    if not len(table):
        return float("nan")
    size = table.sum(1, keepdims=True)  # (U, 1) values of each unit
    coincidences = (table / (size - 1)).T @ table - np.diag((table / (size - 1)).sum(0))  # (V, V) pairs within units
    totals = coincidences.sum(0)  # (V,)
    distance = _DISTANCES[scale](numbers, totals)  # (V, V)
    expected = totals @ distance @ totals
    if expected == 0:
        return float("nan")
    return float(1 - (totals.sum() - 1) * (coincidences * distance).sum() / expected)


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa (1971) of units that were all judged by equally many raters.

    Args:
        counts: How many raters gave each unit each value, (U, V); all rows sum to the same number, 2 or more.

    Returns:
        Kappa; NaN if all raters gave the same value everywhere.

    Raises:
        ValueError: If the rows do not sum to the same number: :func:`krippendorff_alpha` takes those.
    """
    table = _table(counts)
    raters = table.sum(1)
    if not len(table) or raters.min() != raters.max() or raters[0] < 2:
        raise ValueError("Fleiss' kappa needs the same number of raters, 2 or more, for every unit: use "
                         "krippendorff_alpha where it differs.")  # fmt: skip
    observed = ((table * (table - 1)).sum(1) / (raters * (raters - 1))).mean()
    chance = ((table.sum(0) / table.sum()) ** 2).sum()
    return float("nan") if chance == 1 else float((observed - chance) / (1 - chance))


def value_counts(
    units: Iterable[Any], answers: Iterable[Any], values: Iterable[Any] | None = None
) -> tuple[NDArray[np.float64], list[Any]]:
    """Count answers by unit and value, for the two measures above.

    Args:
        units: What each answer is about, (n,).
        answers: The answers, (n,).
        values: All values there are, in order; those that occur, sorted, if None.

    Returns:
        Counts (U, V), units in order of appearance, and the V values.
    """
    units, answers = list(units), list(answers)
    known = sorted(set(answers)) if values is None else list(values)
    place = {value: at for at, value in enumerate(known)}
    rows = {unit: at for at, unit in enumerate(dict.fromkeys(units))}
    table = np.zeros((len(rows), len(known)))
    np.add.at(table, ([rows[unit] for unit in units], [place[answer] for answer in answers]), 1)
    return table, known


def _nominal(numbers: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
    return (numbers[:, None] != numbers[None]).astype(np.float64)


def _ordinal(_: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared number of values from one rank to the other, the two ends by half."""
    middle = np.cumsum(totals) - totals / 2
    return (middle[:, None] - middle[None]) ** 2


def _interval(numbers: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
    return (numbers[:, None] - numbers[None]) ** 2


def _ratio(numbers: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
    total = numbers[:, None] + numbers[None]
    return np.divide(numbers[:, None] - numbers[None], total, out=np.zeros_like(total), where=total != 0) ** 2


_DISTANCES: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
    "ratio": _ratio,
}


def _table(counts: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or (table < 0).any() or (table != np.round(table)).any():
        raise ValueError(f"Counts of shape {table.shape} are no table (units, values) of whole numbers from zero up.")
    return table
