"""How many respondents and items does a comparison need?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plan", "independent_votes", "plan", "power", "simulate_votes", "variances"]


@dataclass(frozen=True)
class Plan:
    """A size that is enough.

    Attributes:
        respondents: How many people.
        items: How many items each of them judges.
        power: Chance that the interval excludes one half.
    """

    respondents: int
    items: int
    power: float


def independent_votes(share: float, wanted: float = 0.8, level: float = 0.95) -> int:
    """How many votes, each of another person on another item, tell a share from one half (normal approximation).

    Args:
        share: The true share, not one half.
        wanted: Chance to find it.
        level: Coverage of the interval.

    Raises:
        ValueError: If a number is out of its range.
    """
    _check(share, wanted, level)
    from scipy.stats import norm

    z, b = float(norm.ppf((1 + level) / 2)), float(norm.ppf(wanted))
    return math.ceil(((z * 0.5 + b * math.sqrt(share * (1 - share))) / (share - 0.5)) ** 2)


def power(
    respondents: int,
    items: int,
    share: float,
    *,
    respondent_spread: float = 0.5,
    item_spread: float = 0.8,
    level: float = 0.95,
) -> float:
    """Chance that an honest interval of the share of votes excludes one half, where everybody judges everything.

    Votes follow a logistic model whose log-odds vary between respondents and between items. On the scale of votes that
    makes three variances, of which only the last shrinks with every vote:
    s² = v_respondents / R + v_items / I + v_votes / (R I). The two-way bootstrap counts the last one three times
    (Owen 2007, Theorem 3), so its interval is somewhat wider than it had to be, and the power is that of this interval.

    Args:
        respondents: Number of respondents, R.
        items: Number of items, I.
        share: The true share of votes.
        respondent_spread: Standard deviation of the log-odds between respondents.
        item_spread: The same between items.
        level: Coverage of the interval.

    Raises:
        ValueError: If a number is out of its range.
    """
    _check(share, 0.5, level)
    if respondents < 1 or items < 1 or respondent_spread < 0 or item_spread < 0:
        raise ValueError("Respondents and items must be 1 or more, and spreads 0 or more.")
    from scipy.stats import norm

    people, things, votes = variances(share, respondent_spread, item_spread)
    deviation = math.sqrt(people / respondents + things / items + votes / (respondents * items))
    drawn = math.sqrt(people / respondents + things / items + 3 * votes / (respondents * items))
    half = float(norm.ppf((1 + level) / 2)) * drawn / deviation
    shift = abs(share - 0.5) / deviation
    return float(norm.cdf(shift - half) + norm.cdf(-shift - half))


def plan(
    share: float,
    *,
    wanted: float = 0.8,
    items: int | None = None,
    respondents: int | None = None,
    respondent_spread: float = 0.5,
    item_spread: float = 0.8,
    level: float = 0.95,
    most: int = 2000,
) -> Plan | None:
    """The smallest competition with the wanted power: by default as many items as respondents.

    Args:
        share: The true share of votes that should be found.
        wanted: Chance to find it.
        items: Number of items, if it is given.
        respondents: Number of respondents, if it is given.
        respondent_spread: Standard deviation of the log-odds between respondents.
        item_spread: The same between items.
        level: Coverage of the interval.
        most: Largest number to try.

    Returns:
        The plan; None if no number up to ``most`` is enough, because the side that is given is too small.

    Raises:
        ValueError: If a number is out of its range.
    """
    _check(share, wanted, level)
    low, high = 2, most
    found = None
    while low <= high:  # the power rises with the number
        middle = (low + high) // 2
        size = (respondents or middle, items or middle)
        reached = power(*size, share, respondent_spread=respondent_spread, item_spread=item_spread, level=level)
        if reached >= wanted:
            found, high = Plan(*size, reached), middle - 1
        else:
            low = middle + 1
        if respondents and items:
            break
    return found


def simulate_votes(
    respondents: int,
    items: int,
    rng: np.random.Generator,
    *,
    share: float = 0.5,
    respondent_spread: float = 0.5,
    item_spread: float = 0.8,
) -> NDArray[np.float64]:
    """Votes of invented respondents, (respondents, items): 1 where the first system wins.

    Args:
        respondents: Number of respondents.
        items: Number of items.
        rng: Source of randomness.
        share: Mean share of votes over many respondents and items.
        respondent_spread: Standard deviation of the log-odds between respondents.
        item_spread: The same between items.
    """
    middle = _centre(share, math.hypot(respondent_spread, item_spread))
    odds = middle + rng.normal(0, respondent_spread, (respondents, 1)) + rng.normal(0, item_spread, (1, items))
    return (rng.random((respondents, items)) < 1 / (1 + np.exp(-odds))).astype(np.float64)


def variances(share: float, respondent_spread: float, item_spread: float) -> tuple[float, float, float]:
    """Variance of a vote that comes with the respondent, with the item, and with the vote itself.

    Args:
        share: Mean share of votes.
        respondent_spread: Standard deviation of the log-odds between respondents.
        item_spread: The same between items.
    """
    centre = _centre(share, math.hypot(respondent_spread, item_spread))
    people = _between(centre, respondent_spread, item_spread) - share**2
    things = _between(centre, item_spread, respondent_spread) - share**2
    return max(people, 0.0), max(things, 0.0), share * (1 - share) - people - things


def _between(centre: float, own: float, other: float) -> float:
    """Mean square of what one side expects, the other side averaged out."""
    points, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()
    odds = centre + own * points[:, None] + other * points[None]
    return float(weights @ ((1 / (1 + np.exp(-odds))) @ weights) ** 2)


def _centre(share: float, spread: float) -> float:
    """The log-odds whose mean chance, spread included, is the share."""
    from scipy.optimize import brentq

    points, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()
    return float(brentq(lambda c: float(weights @ (1 / (1 + np.exp(-c - spread * points)))) - share, -40, 40))


def _check(share: float, wanted: float, level: float) -> None:
    if not 0 < share < 1 or share == 0.5:
        raise ValueError(f"share={share}: give the share of votes to be found, between 0 and 1 and not one half.")
    if not 0 < wanted < 1 or not 0 < level < 1:
        raise ValueError(f"Power {wanted} and level {level} lie between 0 and 1.")
