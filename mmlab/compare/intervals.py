"""Is one system better than another? Paired intervals, over runs or over items, and what they decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decision", "Direction", "Outcome", "Over", "decide", "item_interval", "paired_interval"]

Direction = Literal["higher", "lower"]
"""Which values are better."""

Outcome = Literal["better", "equivalent", "worse", "undecided"]

Over = Literal["seeds", "items"]
"""What the values belong to: independent runs of an experiment, or the test items of one run."""

_RESAMPLES = 4000
_AT_ONCE = 2_000_000  # numbers in one piece of the bootstrap


class _Interval(NamedTuple):
    low: float
    high: float
    n: int  # independent units: seeds, items, or clusters


@dataclass(frozen=True)
class Decision:
    """What a paired comparison decides.

    Attributes:
        outcome: ``"better"`` or ``"worse"`` if the interval excludes zero, ``"equivalent"`` if it lies within the
            margin, else ``"undecided"``.
        ours: Mean of our values.
        theirs: Mean of the rival's values, or the constant.
        difference: Ours minus theirs.
        low: Lower end of the interval of the difference; minus infinity if there is nothing to estimate it from.
        high: Upper end.
        n: Number of independent units: seeds, items, or clusters of items.
        over: Whether the units are seeds or items.
        level: Coverage of the interval.
        direction: Which values are better.
        margin: Largest difference that counts as none, or None.
    """

    outcome: Outcome
    ours: float
    theirs: float
    difference: float
    low: float
    high: float
    n: int
    over: Over
    level: float
    direction: Direction
    margin: float | None = None


def decide(
    ours: Any,
    theirs: Any,
    *,
    direction: Direction,
    over: Over = "seeds",
    clusters: Any = None,
    margin: float | None = None,
    level: float = 0.95,
) -> Decision:
    """Decide by a paired interval whether one system is better than another, or than a constant.

    Over seeds the interval says what other runs would do (:func:`paired_interval`). Over items it says what the same
    trained systems would do on other items of the same kind (:func:`item_interval`); what another training would give
    is not in it. One unit alone decides nothing.

    Args:
        ours: One value for each seed or item: a list, an array, a tensor, or a pandas Series.
        theirs: The rival's values for the same seeds or items, in the same order (two Series are matched by their
            index); or a number, for a constant such as chance or a ceiling.
        direction: Whether ``"higher"`` or ``"lower"`` values are better.
        over: What the values belong to.
        clusters: For items of which several belong together (sentences of one person): a name for each item.
        margin: Largest difference that counts as none: an interval within it decides "equivalent", whether it holds
            zero or not.
        level: Coverage of the interval, in (0, 1).

    Raises:
        ValueError: If the values cannot be paired, are not finite, or an argument is none of those named.
    """
    _check(direction, over, clusters, margin, level)
    a, b = _paired(ours, theirs)
    if over == "seeds":
        found = _Interval(*paired_interval(a - b, level), len(a))
    else:
        found = item_interval(a, b, clusters=clusters, level=level, constant=True if np.ndim(theirs) == 0 else None)
    low, high = (found.low, found.high) if direction == "higher" else (-found.high, -found.low)  # up is better
    outcome: Outcome = "undecided"
    if margin is not None and -margin <= low and high <= margin:
        outcome = "equivalent"
    elif low > 0:
        outcome = "better"
    elif high < 0:
        outcome = "worse"
    return Decision(
        outcome,
        ours=float(a.mean()),
        theirs=float(b.mean()),
        difference=float((a - b).mean()),
        low=found.low,
        high=found.high,
        n=found.n,
        over=over,
        level=level,
        direction=direction,
        margin=margin,
    )


def paired_interval(differences: Sequence[float] | NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Student's t interval for the mean of paired differences.

    It says what other seeds would do on the same training and test set. What another draw of people would do is in it
    only if each seed also draws people.

    Args:
        differences: One for each seed.
        level: Coverage, in (0, 1).

    Returns:
        Lower and upper bound; infinite for a single difference, and for two that are equal: scores that are counted in
        test items often agree by chance, and their spread of zero says nothing.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not between 0 and 1.")
    from scipy.stats import t

    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2 or (n == 2 and values[0] == values[1] != 0):
        return -math.inf, math.inf
    half = float(t.ppf((1 + level) / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return float(values.mean()) - half, float(values.mean()) + half


def item_interval(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    clusters: Any = None,
    level: float = 0.95,
    constant: bool | None = None,
) -> _Interval:
    """Interval for the mean difference of two systems over items, or over clusters of items.

    Answers that are right or wrong (values 0 and 1) have closed forms: against a constant the exact interval of Clopper
    and Pearson (1934), against another system the adjusted interval of Bonett and Price (2012), which stays honest
    with few disagreements. All else, and all clusters, go through the bootstrap with percentiles that are widened for
    small samples (Hesterberg 2015, Section 5.1).

    Args:
        a: Values of the first system, (N,).
        b: Values of the second on the same items, (N,); N times the same number for a constant.
        clusters: A name for each item, (N,); items of one name are drawn together.
        level: Coverage, in (0, 1).
        constant: Whether b is a number that is known, such as chance, and no system. By default it is if all its values
            are equal, and neither 0 nor 1: a system that is right on every item of a sample may yet be wrong on others.

    Returns:
        Lower and upper bound, and the number of independent units; the bounds are infinite for a single unit.

    Raises:
        ValueError: If there are not as many names of clusters as items.
    """
    binary = bool(np.isin(a, (0.0, 1.0)).all())
    if constant is None:
        constant = bool((b == b[0]).all()) and float(b[0]) not in (0.0, 1.0)
    if clusters is not None:
        names = [str(name) for name in (clusters.tolist() if hasattr(clusters, "tolist") else clusters)]
        if len(names) != len(a):
            raise ValueError(f"There are {len(names)} names of clusters for {len(a)} items: give one for each item.")
        _, group = np.unique(names, return_inverse=True)
    else:
        group = np.arange(len(a))
    units = int(group.max()) + 1
    if units < 2:
        return _Interval(-math.inf, math.inf, units)
    if clusters is None and binary and constant:
        from scipy.stats import binomtest

        exact = binomtest(int(a.sum()), len(a)).proportion_ci(level)
        return _Interval(float(exact.low) - float(b[0]), float(exact.high) - float(b[0]), units)
    if clusters is None and binary and np.isin(b, (0.0, 1.0)).all():
        return _Interval(*_right_or_wrong(a - b, level), units)
    gaps = a - b
    if (gaps == gaps[0]).all():
        # Nothing varied. A deviation that each of n units shows with chance p stays unseen with chance (1 - p)^n.
        everything = np.concatenate([a, b])
        largest = 1.0 if binary else float(np.ptp(everything))
        half = largest * (1 - ((1 - level) / 2) ** (1 / units))
        return _Interval(float(gaps[0]) - half, float(gaps[0]) + half, units)
    return _Interval(*_bootstrap(gaps, group, units, level), units)


def _right_or_wrong(gaps: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Bonett and Price (2012), Eq. (5): one disagreement of each kind is added to those that were seen."""
    from scipy.stats import norm

    n = len(gaps) + 2
    ahead = ((gaps > 0).sum() + 1) / n
    behind = ((gaps < 0).sum() + 1) / n
    centre = float(ahead - behind)
    half = float(norm.ppf((1 + level) / 2)) * math.sqrt((float(ahead + behind) - centre**2) / n)
    return centre - half, centre + half


def _bootstrap(gaps: NDArray[np.float64], group: NDArray[Any], units: int, level: float) -> tuple[float, float]:
    from scipy.stats import norm, t

    sums = np.bincount(group, gaps)  # (units,)
    counts = np.bincount(group).astype(np.float64)
    rng = np.random.default_rng(0)
    piece = max(1, _AT_ONCE // units)
    means = []
    for start in range(0, _RESAMPLES, piece):
        size = min(piece, _RESAMPLES - start)
        times = rng.multinomial(units, np.full(units, 1 / units), size=size)  # how often each unit is drawn
        means.append((times @ sums) / (times @ counts))
    wide = float(t.ppf((1 + level) / 2, units - 1)) * math.sqrt(units / (units - 1))
    tail = float(norm.sf(wide))
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _check(direction: str, over: str, clusters: Any, margin: float | None, level: float) -> None:
    if direction not in ("higher", "lower"):
        raise ValueError(f"direction={direction!r}: say whether 'higher' or 'lower' values are better.")
    if over not in ("seeds", "items"):
        raise ValueError(f"over={over!r}: the values belong to 'seeds' or to 'items'.")
    if clusters is not None and over != "items":
        raise ValueError("clusters= groups items: say over='items' with it, or leave it out.")
    if margin is not None and not 0 < margin < math.inf:
        raise ValueError(
            f"margin={margin}: give the largest difference that counts as none, above zero, or leave it out."
        )
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not between 0 and 1.")


def _paired(ours: Any, theirs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as arrays (N,) in the same order."""
    if hasattr(ours, "index") and hasattr(theirs, "reindex") and hasattr(ours, "reindex"):  # two pandas Series
        if ours.index.has_duplicates or set(ours.index) != set(theirs.index):
            raise ValueError(
                f"Ours has values for {list(ours.index)[:8]}, theirs for {list(theirs.index)[:8]}: "
                "give one value of each for the same seeds or items."
            )
        theirs = theirs.reindex(ours.index)
    a, b = _array("ours", ours), _array("theirs", theirs)
    if a.ndim == 0:
        a = a[None]
    if a.ndim != 1 or b.ndim > 1:
        raise ValueError(
            f"Ours has the shape {a.shape}, theirs {b.shape}: give one value for each seed (average over its items "
            "first), or one for each item of a single run."
        )
    if not len(a):
        raise ValueError("Ours has no values: give at least one.")
    if b.ndim == 1 and len(b) != len(a):
        raise ValueError(
            f"Ours has {len(a)} values and theirs {len(b)}: give pairs in the same order, or one number for a constant."
        )
    return a, np.broadcast_to(b, a.shape)


def _array(name: str, values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    elif isinstance(values, Sequence):
        values = [float(value) for value in values]
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{name.capitalize()} has a value that is not finite: such a run has no result to claim.")
    return found
