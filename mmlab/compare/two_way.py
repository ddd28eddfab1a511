"""Votes of the same people on the same items are not independent: the bootstrap that draws both.

Each resample draws respondents and items anew, and a vote counts as often as its respondent times as often as its item
(the "pigeonhole" bootstrap, Owen 2007). What one respondent likes everywhere, and what one item decides for everybody,
is then in the interval. Pooling the votes as if each came from another person on another item leaves both out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LEAST", "Estimate", "TwoWay", "mean", "pooled_interval", "rounds_won", "sign_test", "wilson"]

LEAST = 5
"""Respondents and items that an interval needs; with fewer, nothing is decided."""
_FEW = 10
_MOST_CELLS = 2**28
"""Numbers in a table of respondents and items, or in the draws: 2 GB."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From weights of the votes in each resample (B, n) to values (B,) or (B, m)."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: On all votes.
        low: Lower end; minus infinity if the votes are too few for one.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def excludes(self, number: float) -> bool:
        """Whether the number lies outside the interval, so that the votes speak against it."""
        return not self.low <= number <= self.high


class TwoWay:
    """Resamples of respondents and items, drawn once and used for every statistic: so they can be compared in pairs.

    Args:
        respondents: Who gave each vote, (n,).
        items: What it was about, (n,).
        resamples: Number of draws.
        seed: Seed of the draws.

    Raises:
        ValueError: If there are no votes, not as many items as respondents, or more of both than memory is taken for.
    """

    def __init__(self, respondents: Iterable[Any], items: Iterable[Any], *, resamples: int = 10_000, seed: int = 0):
        self.respondent, people = _numbered(respondents)
        self.item, things = _numbered(items)
        if len(self.respondent) != len(self.item) or not len(self.item):
            raise ValueError(f"There are {len(self.respondent)} respondents and {len(self.item)} items of votes.")
        self.people, self.things = people, things
        if (cells := max(people * things, resamples * (people + things))) > _MOST_CELLS:
            raise ValueError(
                f"{people:,} respondents on {things:,} items would take {8 * cells / 1e9:.0f} GB: take a part of the "
                "votes, such as the newest 10,000, or draw fewer resamples."
            )
        rng = np.random.default_rng(seed)
        self.by_respondent = rng.multinomial(people, np.full(people, 1 / people), size=resamples).astype(np.float64)
        self.by_item = rng.multinomial(things, np.full(things, 1 / things), size=resamples).astype(np.float64)

    def table(self, values: ArrayLike) -> NDArray[np.float64]:
        """Sum of a value over the votes of each respondent on each item, (people, things)."""
        found = np.zeros((self.people, self.things))
        np.add.at(found, (self.respondent, self.item), np.asarray(values, dtype=np.float64))
        return found

    def weights(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """How often each vote counts in some of the resamples, (B, n)."""
        return self.by_respondent[start:stop, self.respondent] * self.by_item[start:stop, self.item]

    def interval(self, value: float, draws: NDArray[np.float64], level: float = 0.95) -> Estimate:
        """Percentiles of the resampled values.

        Drawing both sides counts the noise of single votes more than once, which makes up for what percentiles lack
        with ten respondents and items or more. With fewer they are widened (Hesterberg 2015, Section 5.1), and with
        fewer than ``LEAST`` there is no interval.

        Args:
            value: On all votes.
            draws: In each resample, (B,); NaN where a resample holds no vote that counts.
            level: Coverage, in (0, 1).
        """
        draws = draws[~np.isnan(draws)]
        least = min(self.people, self.things)
        if least < LEAST or not len(draws) or not math.isfinite(value):
            return Estimate(value, -math.inf, math.inf)
        tail = (1 - level) / 2
        if least < _FEW:
            from scipy.stats import norm, t

            tail = float(norm.sf(t.ppf(1 - tail, least - 1) * math.sqrt(least / (least - 1))))
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Estimate(value, float(low), float(high))


def mean(draws: TwoWay, values: ArrayLike, counted: ArrayLike | None = None) -> tuple[float, NDArray[np.float64]]:
    """Mean of a value over votes, and in each resample.

    Args:
        draws: The resamples.
        values: One for each vote, (n,): 1, 0.5 or 0 for a share of votes, or a rating.
        counted: 1 for the votes that have a value, 0 for others, (n,); all if None.
    """
    has = np.ones(len(draws.item)) if counted is None else np.asarray(counted, dtype=np.float64)
    total = draws.table(np.where(has > 0, np.asarray(values, dtype=np.float64), 0.0) * has)
    number = draws.table(has)
    above = ((draws.by_respondent @ total) * draws.by_item).sum(1)  # (B,)
    below = ((draws.by_respondent @ number) * draws.by_item).sum(1)
    found = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return (float(total.sum() / number.sum()) if number.sum() else math.nan), found


def rounds_won(draws: TwoWay, scores: ArrayLike) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Share of items that a majority of their respondents gave to the first system; an even item counts as half.

    Args:
        draws: The resamples.
        scores: What the first system got in each vote, (n,): 1, 0.5 or 0.

    Returns:
        The share, the share in each resample (B,), and whether each item was won (1), even (0.5) or lost (0).
    """
    lead = draws.table(np.asarray(scores, dtype=np.float64) - 0.5)
    seen = draws.table(np.ones(len(draws.item)))
    won = _majority(lead.sum(0))
    counts = draws.by_item * (draws.by_respondent @ seen > 0)  # an item none of whose respondents was drawn is no round
    number = counts.sum(1)
    above = (_majority(draws.by_respondent @ lead) * counts).sum(1)
    found = np.divide(above, number, out=np.full_like(above, np.nan), where=number > 0)
    return float(won.mean()), found, won


def wilson(successes: float, n: int, level: float = 0.95) -> Estimate:
    """Wilson's interval (1927) for a share of n independent votes.

    Args:
        successes: Votes for it; a tie may count as half.
        n: Number of votes.
        level: Coverage, in (0, 1).

    Raises:
        ValueError: If there are no votes, or more successes than votes.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} votes is no share: give 1 vote or more, and no more successes than that.")
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, centre - half, centre + half)


def pooled_interval(scores: ArrayLike, level: float = 0.95) -> Estimate:
    """What pooling says: Wilson's interval as if every vote were independent. It stands here to be compared with."""
    values = np.asarray(scores, dtype=np.float64)
    return wilson(float(values.sum()), len(values), level)


def sign_test(won: ArrayLike) -> float:
    """Exact two-sided sign test over items, even ones left out.

    Args:
        won: Whether each item was won (1), even (0.5) or lost (0).

    Returns:
        The p-value; 1 if no item was decided.
    """
    from scipy.stats import binomtest

    values = np.asarray(won, dtype=np.float64)
    ahead, behind = int((values > 0.5).sum()), int((values < 0.5).sum())
    return float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0


def _majority(lead: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(lead > 1e-9, 1.0, np.where(lead < -1e-9, 0.0, 0.5))


def _numbered(names: Iterable[Any]) -> tuple[NDArray[np.int_], int]:
    place: dict[Any, int] = {}
    found = [place.setdefault(name, len(place)) for name in names]
    return np.array(found, dtype=int), len(place)
