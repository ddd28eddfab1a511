"""Results of several runs: mean, spread, and which rows cannot be told from the best."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmlab.compare.intervals import Decision, Direction, decide
from mmlab.wording import few

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OverSeeds", "over_seeds"]


@dataclass(frozen=True, eq=False)
class OverSeeds:
    """Scores of several rows in several runs.

    Attributes:
        values: One line for each (row, seed), one column for each metric; each row has all seeds.
        mean: One line for each row, in order.
        spread: Standard deviation over the seeds (n - 1), of the shape of ``mean``; NaN where nothing varies by design
            or there is a single run.
        n: Number of seeds.
    """

    values: pd.DataFrame
    mean: pd.DataFrame
    spread: pd.DataFrame
    n: int

    def of(self, row: str, metric: str) -> pd.Series:
        """The values of a row, by seed: what :func:`mmlab.viz.claim` takes."""
        if row not in self.mean.index or metric not in self.mean.columns:
            rows, metrics = ", ".join(map(str, self.mean.index)), ", ".join(map(str, self.mean.columns))
            raise ValueError(f"There is no {metric!r} of {row!r}: the rows are {rows}; the metrics are {metrics}.")
        found: pd.Series = self.values.xs(row, level=0)[metric]
        return found

    def against(self, row: str, rival: str, metric: str, direction: Direction, level: float = 0.95) -> Decision:
        """Whether a row is better than another, by the paired interval over seeds."""
        return decide(self.of(row, metric), self.of(rival, metric), direction=direction, level=level)

    def tied(self, metric: str, direction: Direction, without: Collection[str] = (), level: float = 0.95) -> list[str]:
        """The best row of a metric, and all rows that the paired interval does not tell from it.

        Args:
            metric: Column to judge.
            direction: Which values are better.
            without: Rows that do not compete.
            level: Coverage of the interval.

        Returns:
            Names of rows, in order; none if there was a single run, which tells nothing apart.
        """
        means = self.mean[metric].drop(list(without)).dropna()
        if means.empty or self.n < 2:
            return []
        best = str(means.idxmax() if direction == "higher" else means.idxmin())
        return [
            str(row)
            for row in means.index
            if row == best or self.against(str(row), best, metric, direction, level).outcome != "worse"
        ]

    def best_of(self, metric: str, direction: Direction, rows: Collection[str]) -> str:
        """The name of the row with the best mean among some."""
        means = self.mean.loc[list(rows), metric]
        return str(means.idxmax() if direction == "higher" else means.idxmin())


def over_seeds(
    frame: pd.DataFrame, by: str = "method", over: str = "seed", order: Collection[str] | None = None
) -> OverSeeds:
    """Gather rows of results by method and seed.

    Args:
        frame: One line for each run of each row, with the columns ``by`` and ``over``, or indexed by the two; all other
            columns of numbers are metrics. A row with a single line, as a baseline without randomness has, counts for
            every seed.
        by: Column of the row's name.
        over: Column of the seed, or of the world.
        order: Rows to keep, in this order; by default all, in order of appearance.

    Raises:
        ValueError: If a column is absent, a row has a seed twice, or lacks a seed that others have.
    """
    import pandas as pd

    if frame.index.nlevels == 2:
        frame = frame.rename_axis([by, over])
    elif absent := [name for name in (by, over) if name not in frame.columns]:
        there = ", ".join(map(str, frame.columns))
        raise ValueError(f"over_seeds: there is no column {absent[0]!r}; the columns are {there}.")
    else:
        frame = frame.set_index([by, over])
    numbers = frame.select_dtypes("number")
    names = list(dict.fromkeys(numbers.index.get_level_values(0))) if order is None else list(order)
    runs: dict[Any, pd.DataFrame] = {name: part.droplevel(0) for name, part in numbers.groupby(level=0, sort=False)}
    if unknown := [name for name in names if name not in runs]:
        raise ValueError(f"over_seeds: there is no row {unknown[0]!r}; there are {', '.join(map(str, runs))}.")
    seeds = list(dict.fromkeys(seed for name in names if len(runs[name]) > 1 for seed in runs[name].index))
    seeds = seeds or list(runs[names[0]].index)
    spread = pd.DataFrame({name: runs[name].std() for name in names}).T  # NaN for a single line
    full = {name: _with_all_seeds(str(name), runs[name], seeds) for name in names}
    values = pd.concat(full, names=[by, over])
    mean = values.groupby(level=0, sort=False).mean()
    return OverSeeds(values, mean, spread.rename_axis(by)[mean.columns], len(seeds))


def _with_all_seeds(name: str, run: pd.DataFrame, seeds: list[Any]) -> pd.DataFrame:
    if run.index.has_duplicates:
        raise ValueError(f"over_seeds: {name!r} has {run.index[run.index.duplicated()][0]} twice.")
    if len(run) == 1:
        return run.loc[run.index.repeat(len(seeds))].set_axis(seeds)
    if absent := [str(seed) for seed in seeds if seed not in run.index]:
        raise ValueError(f"over_seeds: {name!r} lacks {few(absent)}, which others have: give every row the same seeds.")
    return run.loc[seeds]
