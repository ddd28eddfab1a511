"""What the votes say, and what they do not: every number with its n and an interval that survives dependent votes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmlab.arena.votes import BOTH_BAD, TIE, Vote
from mmlab.compare.two_way import LEAST, Estimate, TwoWay, mean, pooled_interval, rounds_won, sign_test
from mmlab.metrics.agreement import krippendorff_alpha, value_counts
from mmlab.metrics.bradley_terry import ELO, design, separation, weighted_logistic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counts", "Pair", "Results", "judge"]

_RESAMPLES = 10_000
_BOUND = 8.0  # log-odds beyond it (3000 to 1) are those of a resample without a finite estimate


@dataclass(frozen=True)
class Counts:
    """How much was said.

    Attributes:
        respondents: People whose votes count.
        items: Items that they judged, attention items left out.
        votes: Votes that count.
        excluded: People left out because they missed too many attention items.
        ties: Votes for none, both being as good.
        both_bad: Votes that none is good.
        fewest: Votes of the item that has the fewest.
    """

    respondents: int
    items: int
    votes: int
    excluded: int
    ties: int
    both_bad: int
    fewest: int


@dataclass(frozen=True)
class Pair:
    """Two systems against each other.

    Attributes:
        first: The one that the numbers speak of.
        second: The other one.
        votes: Votes that compare them.
        share: Share of votes for the first; a tie is half a vote for each.
        pooled: The same, as if every vote were independent; it is shown to be mistrusted.
        rounds: Share of items won by majority.
        items: Items won, even and lost.
        sign: p-value of the sign test over items.
    """

    first: str
    second: str
    votes: int
    share: Estimate
    pooled: Estimate
    rounds: Estimate
    items: tuple[int, int, int]
    sign: float


@dataclass(frozen=True)
class Results:
    """All that a report shows.

    Attributes:
        systems: The systems, the strongest first.
        counts: How much was said.
        pairs: Each pair of systems that was compared.
        strengths: Bradley-Terry strength of each system in Elo points around the mean of all.
        differences: Strength of the first minus that of the second, for each pair of systems, at a level that holds for
            all pairs together.
        side: Log-odds that the answer shown first gets beyond what it merits.
        length: Log-odds for an answer longer by the standard deviation of the differences; None if there are no texts.
        at_equal_length: The differences of strength with that taken out; empty if there are no texts.
        separated: Why strengths have no finite value; empty if they have.
        ratings: Mean rating by scale and system.
        rating_gaps: Mean rating of the first minus the second of each pair, by scale.
        agreement: Krippendorff's alpha of the votes, and of each scale.
        seen: Votes in which each system, and each pair of them, was shown.
        level: Coverage of the intervals.
    """

    systems: tuple[str, ...]
    counts: Counts
    pairs: tuple[Pair, ...]
    strengths: dict[str, Estimate]
    differences: dict[tuple[str, str], Estimate]
    side: Estimate
    length: Estimate | None
    at_equal_length: dict[tuple[str, str], Estimate]
    separated: str
    ratings: dict[str, dict[str, Estimate]]
    rating_gaps: dict[str, dict[tuple[str, str], Estimate]]
    agreement: dict[str, float] = field(default_factory=dict)
    seen: dict[frozenset[str], int] = field(default_factory=dict)
    level: float = 0.95

    @property
    def winner(self) -> str:
        """The system whose lead over each other one is beyond its interval; empty if there is none."""
        return next((s for s in self.systems if all(self.leads(s, other) for other in self.systems if other != s)), "")

    def leads(self, one: str, other: str) -> bool:
        """Whether the strengths tell them apart, and, where the two met, so do their votes."""
        gap, sign = ((one, other), 1) if (one, other) in self.differences else ((other, one), -1)
        if sign * (self.differences[gap].low if sign > 0 else self.differences[gap].high) <= 0:
            return False
        met = [pair for pair in self.pairs if (pair.first, pair.second) == gap]
        return all(pair.share.low > 0.5 if sign > 0 else pair.share.high < 0.5 for pair in met)

    def verdict(self) -> str:
        """Who won, in a sentence; or that nobody did, and why."""
        c = self.counts
        n = f"{c.respondents} respondents, {c.items} items, {c.votes} votes"
        if min(c.respondents, c.items) < LEAST:
            return f"No winner: {n} are too few; {LEAST} respondents and {LEAST} items are the least for an interval."
        if self.winner:
            rivals = [system for system in self.systems if system != self.winner]
            return f"{self.winner} wins: its interval lies above {' and '.join(rivals)} ({n})."
        tied = [s for s in self.systems if not any(self.leads(other, s) for other in self.systems if other != s)]
        return f"No winner: the intervals do not tell {' and '.join(tied)} apart ({n})."

    def table(self) -> pd.DataFrame:
        """All numbers as rows: what, of whom, value, interval, n."""
        import pandas as pd

        rows: list[tuple[str, str, Estimate, int]] = []
        for pair in self.pairs:
            name = f"{pair.first} against {pair.second}"
            rows.append(("share of votes", name, pair.share, pair.votes))
            rows.append(("share of votes, pooled (too narrow)", name, pair.pooled, pair.votes))
            rows.append(("share of rounds won", name, pair.rounds, sum(pair.items)))
            rows.append(("sign test over items, p", name, Estimate(pair.sign, math.nan, math.nan), sum(pair.items)))
        rows += [("strength, Elo points", name, value, self.counts.votes) for name, value in self.strengths.items()]
        for (a, b), value in self.differences.items():
            rows.append(("difference of strength, Elo points", f"{a} minus {b}", value, self.counts.votes))
        for (a, b), value in self.at_equal_length.items():
            rows.append(("difference at equal length, Elo points", f"{a} minus {b}", value, self.counts.votes))
        for scale, values in self.ratings.items():
            rows += [(f"mean rating, {scale}", a, value, self.seen[frozenset({a})]) for a, value in values.items()]
        for scale, gaps in self.rating_gaps.items():
            for (a, b), value in gaps.items():
                rows.append((f"difference of rating, {scale}", f"{a} minus {b}", value, self.seen[frozenset({a, b})]))
        rows.append(("log-odds for the answer shown first", "", self.side, self.counts.votes))
        if self.length is not None:
            rows.append(("log-odds for the longer answer", "", self.length, self.counts.votes))
        for name, alpha in self.agreement.items():
            rows.append((f"Krippendorff's alpha, {name}", "", Estimate(alpha, math.nan, math.nan), self.counts.votes))
        plain = [(what, whom, e.value, e.low, e.high, n) for what, whom, e, n in rows]
        return pd.DataFrame(plain, columns=["measure", "of", "value", "low", "high", "n"])


@dataclass(frozen=True)
class _Duel:
    """A vote taken apart into two systems."""

    respondent: str
    item: str
    first: str
    second: str
    score: float
    longer: float


def judge(
    votes: Iterable[Vote],
    *,
    texts: dict[str, dict[str, str]] | None = None,
    attention_share: float = 0.5,
    level: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Results:
    """Work out everything from the raw votes.

    Args:
        votes: All of them, attention items included.
        texts: Text of each answer, by item and system, for the effect of length; None where it is not known.
        attention_share: Share of the attention items that a respondent must get right to be counted.
        level: Coverage of the intervals.
        resamples: Draws of the bootstrap; the regressions take a tenth of them.
        seed: Seed of the draws.

    Raises:
        ValueError: If no votes are left.
    """
    votes = list(votes)
    counted, excluded = _attentive(votes, attention_share)
    if not counted:
        raise ValueError(
            "There are no votes to report on: nobody has voted yet, or nobody got the attention items right."
        )
    duels = [duel for vote in counted for duel in _duels(vote, (texts or {}).get(vote.item))]
    names = sorted({name for duel in duels for name in (duel.first, duel.second)})
    pairs = [p for a, b in combinations(names, 2) if (p := _pair(a, b, duels, level, resamples, seed))]
    fits = _strengths(names, duels, bool(texts), level, max(200, resamples // 10), seed)
    order = sorted(names, key=lambda name: -fits.strengths[name].value)
    ratings, gaps = _ratings(order, counted, level, resamples, seed)
    by_item = [sum(1 for vote in counted if vote.item == item) for item in {vote.item for vote in counted}]
    counts = Counts(
        respondents=len({vote.respondent for vote in counted}),
        items=len(by_item),
        votes=len(counted),
        excluded=excluded,
        ties=sum(vote.choice == TIE for vote in counted),
        both_bad=sum(vote.choice == BOTH_BAD for vote in counted),
        fewest=min(by_item),
    )
    return Results(
        tuple(order), counts, tuple(pairs), {name: fits.strengths[name] for name in order}, fits.differences, fits.side,
        fits.length, fits.at_equal_length, fits.separated, ratings, gaps, _agreement(counted), _seen(counted), level,
    )  # fmt: skip


def _attentive(votes: Sequence[Vote], share: float) -> tuple[list[Vote], int]:
    """Votes on items that count, of respondents that looked; and how many did not."""
    tests: dict[str, list[bool]] = {}
    for vote in votes:
        if vote.attention:
            tests.setdefault(vote.respondent, []).append(vote.winner == vote.attention)
    careless = {who for who, passed in tests.items() if sum(passed) < share * len(passed)}
    return [v for v in votes if not v.attention and v.respondent not in careless], len(careless)


def _seen(votes: Sequence[Vote]) -> dict[frozenset[str], int]:
    sets = (frozenset(part) for v in votes for n in (1, 2) for part in combinations(v.shown, n))
    return dict(Counter(sets))


def _duels(vote: Vote, texts: dict[str, str] | None) -> list[_Duel]:
    """The best against each other answer; without a best one, each against each as a tie."""
    pairs = list(combinations(vote.shown, 2)) if not vote.winner else [
        (a, b) for a, b in combinations(vote.shown, 2) if vote.winner in (a, b)]  # fmt: skip
    found = []
    for a, b in pairs:
        score = 0.5 if not vote.winner else float(vote.winner == a)
        longer = float(len(texts.get(a, "")) - len(texts.get(b, ""))) if texts else 0.0
        found.append(_Duel(vote.respondent, vote.item, a, b, score, longer))
    return found


def _pair(a: str, b: str, duels: Sequence[_Duel], level: float, resamples: int, seed: int) -> Pair | None:
    mine = [duel for duel in duels if {duel.first, duel.second} == {a, b}]
    if not mine:
        return None
    score = np.array([duel.score if duel.first == a else 1 - duel.score for duel in mine])
    draws = TwoWay([d.respondent for d in mine], [d.item for d in mine], resamples=resamples, seed=seed)
    share, shares = mean(draws, score)
    won, wons, items = rounds_won(draws, score)
    tally = (int((items == 1).sum()), int((items == 0.5).sum()), int((items == 0).sum()))
    return Pair(
        a, b, len(mine), draws.interval(share, shares, level), pooled_interval(score, level),
        draws.interval(won, wons, level), tally, sign_test(items),
    )  # fmt: skip


@dataclass(frozen=True)
class _Fits:
    strengths: dict[str, Estimate]
    differences: dict[tuple[str, str], Estimate]
    side: Estimate
    length: Estimate | None
    at_equal_length: dict[tuple[str, str], Estimate]
    separated: str


def _strengths(
    names: Sequence[str], duels: Sequence[_Duel], with_texts: bool, level: float, resamples: int, seed: int
) -> _Fits:
    """Bradley-Terry with the side as a covariate, and once more with the length as well."""
    longer = np.array([duel.longer for duel in duels])
    draws = TwoWay([d.respondent for d in duels], [d.item for d in duels], resamples=resamples, seed=seed)
    plain = _Fit(names, duels, [np.ones(len(duels))], draws, level)
    fits = _Fits(plain.strengths(), plain.differences(), plain.effect(0), None, {}, plain.problem)
    if not with_texts or not longer.std() > 0:
        return fits
    adjusted = _Fit(names, duels, [np.ones(len(duels)), longer / longer.std()], draws, level)
    return replace(fits, length=adjusted.effect(1), at_equal_length=adjusted.differences())


class _Fit:
    """One regression on all votes and on each resample."""

    def __init__(
        self,
        names: Sequence[str],
        duels: Sequence[_Duel],
        extra: list[NDArray[np.float64]],
        draws: TwoWay,
        level: float,
    ) -> None:
        self.names, self.draws, self.level = names, draws, level
        self.place = {name: at for at, name in enumerate(names)}
        k, resamples = len(names), len(draws.by_item)
        first, second = [self.place[d.first] for d in duels], [self.place[d.second] for d in duels]
        x = design(first, second, k, np.stack(extra, 1))
        y = np.array([duel.score for duel in duels])
        every = np.ones((1, len(y)))
        drawn = [
            weighted_logistic(x, y, w)
            for w in (every, *(draws.weights(at, at + 250) for at in range(0, resamples, 250)))
        ]
        found = np.concatenate(drawn)  # the first row is that of all votes
        self.full = np.hstack([found[:, : k - 1], np.zeros((len(found), 1))])
        self.effects = found[:, k - 1 :]
        self.problem = separation(x, y, k, names)

    def strengths(self) -> dict[str, Estimate]:
        centred = self.full - self.full.mean(1, keepdims=True)
        return {name: self._estimate(centred[:, at], ELO, self.level) for at, name in enumerate(self.names)}

    def differences(self) -> dict[tuple[str, str], Estimate]:
        pairs = list(combinations(self.names, 2))
        together = 1 - (1 - self.level) / len(pairs)  # Bonferroni over the pairs
        columns = {(a, b): self.full[:, self.place[a]] - self.full[:, self.place[b]] for a, b in pairs}
        return {pair: self._estimate(column, ELO, together) for pair, column in columns.items()}

    def effect(self, at: int) -> Estimate:
        return self._estimate(self.effects[:, at], 1.0, self.level)

    def _estimate(self, found: NDArray[np.float64], factor: float, level: float) -> Estimate:
        if self.problem:
            return Estimate(math.nan, -math.inf, math.inf)
        e = self.draws.interval(float(found[0]), found[1:], level)
        low, high = (end if abs(end) < _BOUND else math.copysign(math.inf, end) for end in (e.low, e.high))
        return Estimate(factor * e.value, factor * low, factor * high)


def _ratings(
    names: Sequence[str], votes: Sequence[Vote], level: float, resamples: int, seed: int
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[tuple[str, str], Estimate]]]:
    scales = sorted({scale for vote in votes for scale in vote.ratings})
    draws = TwoWay([v.respondent for v in votes], [v.item for v in votes], resamples=resamples, seed=seed)
    values: dict[str, dict[str, Estimate]] = {}
    gaps: dict[str, dict[tuple[str, str], Estimate]] = {}
    for scale in scales:
        given = {name: np.array([_rating(vote, scale, name) for vote in votes]) for name in names}
        values[scale] = {}
        for name in names:
            known = ~np.isnan(given[name])
            values[scale][name] = draws.interval(*mean(draws, np.nan_to_num(given[name]), known), level)
        gaps[scale] = {}
        for a, b in combinations(names, 2):
            gap = given[a] - given[b]
            if not np.isnan(gap).all():
                gaps[scale][a, b] = draws.interval(*mean(draws, np.nan_to_num(gap), ~np.isnan(gap)), level)
    return values, gaps


def _rating(vote: Vote, scale: str, name: str) -> float:
    if name not in vote.shown or scale not in vote.ratings:
        return math.nan
    value = vote.ratings[scale][vote.shown.index(name)]
    return math.nan if value is None else float(value)


def _agreement(votes: Sequence[Vote]) -> dict[str, float]:
    """Alpha of the votes (by item and set of systems), and of each scale (by item and system, ordinal)."""
    units = [(vote.item, *sorted(vote.shown)) for vote in votes]
    found = {"votes": krippendorff_alpha(value_counts(units, [vote.winner or vote.choice for vote in votes])[0])}
    for scale in sorted({name for vote in votes for name in vote.ratings}):
        rows = [
            ((vote.item, name), value)
            for vote in votes
            for name, value in zip(vote.shown, vote.ratings.get(scale, ()), strict=False)
            if value is not None
        ]
        if rows:
            counts, values = value_counts(*zip(*rows, strict=True))
            found[scale] = krippendorff_alpha(counts, "ordinal", values)
    return found
