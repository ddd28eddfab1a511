"""Trained classifiers side by side on one test set: scores over seeds, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.intervals import paired_interval
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.metrics.classification import accuracy, area_under_curve, expected_calibration_error, macro_f1

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "Comparison", "Metric", "Predictor", "paired_interval", "score", "unlabelled"]

Predictor = Callable[[Batch], Tensor]
"""Class probabilities (N, K) of a batch of N items."""

Metric = Callable[[Tensor, Tensor], float]

METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "macro F1": macro_f1,
    "AUC": area_under_curve,
    "ECE": expected_calibration_error,
}
"""What is measured by default: functions of (probabilities, label)."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows of a comparison, trained, and their scores on one test set.

    Attributes:
        proposed: Name of the row that the others are rivals of.
        predictors: By row and seed. A row without randomness has the one seed -1 in their place.
        scores: One line for each (row, seed), one column for each metric.
        metrics: The functions behind the columns.
        trained: The methods behind the rows that were built, by name and seed.
        chosen: The settings that tuned rows chose on validation items, by name.
        spent: What each trained or solved row was allowed, by name.
    """

    proposed: str
    predictors: dict[str, dict[int, Predictor]]
    scores: pd.DataFrame
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    trained: dict[str, dict[int, Any]] = field(default_factory=dict)
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)

    @property
    def budgets(self) -> Budgets:
        """The budgets of the rows, for the table that shows them and for ``record(budget=...)``."""
        return Budgets(self.proposed, dict(self.spent))

    @property
    def mean(self) -> pd.DataFrame:
        """Mean over seeds: one line for each row, in order, one column for each metric."""
        return self.scores.groupby(level="row", sort=False).mean()

    @property
    def spread(self) -> pd.DataFrame:
        """Standard deviation over seeds (n - 1), of the shape of :attr:`mean`; NaN for rows without randomness."""
        return self.scores.groupby(level="row", sort=False).std()

    def values(self, row: str, metric: str = "accuracy") -> list[float]:
        """One score for each seed of the proposed method; a row without randomness gives the same score every time."""
        column: dict[Any, float] = self.scores[metric].to_dict()
        runs = self.predictors[row]
        return [column[row, seed if seed in runs else -1] for seed in self.predictors[self.proposed]]

    def differences(self, metric: str = "accuracy", level: float = 0.95) -> pd.DataFrame:
        """The proposed method minus each other row, paired by seed.

        Args:
            metric: Column of :attr:`scores`.
            level: Level of the interval.

        Returns:
            For each row: ``difference`` (mean over seeds), ``low`` and ``high`` (paired t interval over seeds, see
            :func:`paired_interval`), and ``ahead`` (number of seeds in which the proposed method is higher).
        """
        import pandas as pd

        ours = self.values(self.proposed, metric)
        rows = {}
        for name in self.predictors:
            if name == self.proposed:
                continue
            gaps = [a - b for a, b in zip(ours, self.values(name, metric), strict=True)]
            low, high = paired_interval(gaps, level)
            rows[name] = (sum(gaps) / len(gaps), low, high, sum(gap > 0 for gap in gaps))
        return pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high", "ahead"])

    def on(self, test: TensorData) -> Comparison:
        """The same trained rows on another test set: a modality missing, noise in one, other people."""
        scores = score(self.predictors, test, self.metrics)
        return replace(self, scores=scores)


def unlabelled(data: TensorData) -> Batch:
    """All that a predictor may see of a dataset."""
    return {key: value for key, value in data.tensors.items() if key != "label"}


def score(
    predictors: Mapping[str, Mapping[int, Predictor]], test: TensorData, metrics: Mapping[str, Metric]
) -> pd.DataFrame:
    """Measure every row on the test set; no row is told the labels."""
    import pandas as pd

    scores = {}
    for name, runs in predictors.items():
        for seed, predict in runs.items():
            probabilities = predict(unlabelled(test))
            scores[name, seed] = [measure(probabilities, test.tensors["label"]) for measure in metrics.values()]
    index = pd.MultiIndex.from_tuples(scores, names=["row", "seed"])
    return pd.DataFrame(list(scores.values()), index=index, columns=list(metrics))
