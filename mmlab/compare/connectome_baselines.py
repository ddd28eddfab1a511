"""The dull rivals of any predictor of connectivity: what they reach, a method must beat.

Everything is fitted on the training pairs alone, hyper-parameters included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs

__all__ = [
    "PCARidge",
    "baselines",
    "change_ridge",
    "fit_pca_ridge",
    "group_mean",
    "identity",
    "mean_shift",
    "pca_ridge",
    "shrunk_shift",
]

COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200)
PENALTIES = (0.0, *(10.0**exponent for exponent in (-3, -2.5, -2, -1.5, -1, -0.5, 0, 1)))


def baselines(train: ConnectomePairs, test: ConnectomePairs) -> dict[str, Tensor]:
    """Predictions (S, E) of the test subjects' targets, by name, in the order of the book's tables.

    Args:
        train: Pairs that the baselines learn from.
        test: Pairs whose targets are predicted; only their sources are looked at.

    Raises:
        ValueError: If a subject is in both.
    """
    if shared := sorted(set(train.subjects) & set(test.subjects)):
        raise ValueError(f"Subject {shared[0]} is in training and in test: split by subject first.")
    return {
        "identity": identity(train, test),
        "group mean": group_mean(train, test),
        "mean shift": mean_shift(train, test),
        "shrunk shift": shrunk_shift(train, test),
        "ridge on PCA scores": pca_ridge(train, test),
        "ridge on the change": change_ridge(train, test),
    }


def identity(train: ConnectomePairs, test: ConnectomePairs) -> Tensor:
    """Nothing changes: the source itself."""
    return test.source.clone()


def group_mean(train: ConnectomePairs, test: ConnectomePairs) -> Tensor:
    """Everybody is the average of the training targets."""
    return train.target.mean(0).expand_as(test.source).clone()


def mean_shift(train: ConnectomePairs, test: ConnectomePairs) -> Tensor:
    """Everybody changes by the average change: source - mean source + mean target."""
    return test.source + (train.target.mean(0) - train.source.mean(0))


def shrunk_shift(train: ConnectomePairs, test: ConnectomePairs) -> Tensor:
    """Between the group mean and the mean shift: mean target + λ (source - mean source).

    The one number λ is the least-squares slope over all edges and training subjects; it pays for the noise of the
    source and for what of the person changes between the states.
    """
    mean_source, mean_target = train.source.mean(0), train.target.mean(0)
    source, target = (train.source - mean_source).double(), (train.target - mean_target).double()
    slope = float((source * target).sum() / source.square().sum())
    return mean_target + slope * (test.source - mean_source)


def pca_ridge(train: ConnectomePairs, test: ConnectomePairs, seed: int = 0) -> Tensor:
    """Ridge regression of the target on the first principal components of the source; see :func:`fit_pca_ridge`."""
    return fit_pca_ridge(train, seed=seed)(test.source)


def change_ridge(train: ConnectomePairs, test: ConnectomePairs, seed: int = 0) -> Tensor:
    """Mean shift, and ridge regression of what it misses on the same scores: the strongest linear rival here."""
    return fit_pca_ridge(train, keep=1.0, seed=seed)(test.source)


@dataclass(frozen=True, eq=False)
class PCARidge:
    """A fitted ridge regression on principal component scores.

    Attributes:
        components: Number of components that cross-validation chose.
        penalty: Penalty that it chose, relative to the largest variance of a score.
        keep: Weight of the source itself: 0, or 1 if the change was regressed.
        source_mean: (E,).
        target_mean: (E,).
        encoder: (E, k), from centred source to scores.
        decoder: (k, E), from scores to the centred target, or to what the kept source leaves of it.
    """

    components: int
    penalty: float
    keep: float
    source_mean: Tensor
    target_mean: Tensor
    encoder: Tensor
    decoder: Tensor

    def __call__(self, source: Tensor) -> Tensor:
        """Predict: (S, E) -> (S, E)."""
        centred = source.double() - self.source_mean
        return (self.target_mean + self.keep * centred + centred @ self.encoder @ self.decoder).to(source.dtype)


def fit_pca_ridge(
    train: ConnectomePairs,
    components: Sequence[int] = COMPONENTS,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    keep: float = 0.0,
    seed: int = 0,
) -> PCARidge:
    """Fit ridge regression on PCA scores; components and penalty by cross-validation over the training subjects.

    Args:
        train: Training pairs.
        components: Numbers of components to try; no fold can use more than its number of subjects less one.
        penalties: Penalties to try, each relative to the largest variance of a score.
        folds: Folds of the cross-validation.
        keep: Weight of the source itself in the prediction. With 0 a large penalty gives the group mean; with 1 the
            *change* is regressed, and a large penalty gives the mean shift.
        seed: Of the folds.

    Returns:
        The fit on all training subjects with the pair of choices of least squared error.
    """
    most = len(train) - 1  # more components than that are the same fit again
    choices = [(k, penalty) for k in sorted({min(k, most) for k in components}) for penalty in penalties]
    error = torch.zeros(len(choices), dtype=torch.float64)
    for part, held_out in train.folds(min(folds, len(train)), seed):
        rotation = _Rotation(part, keep)
        for i, (k, penalty) in enumerate(choices):
            error[i] += (rotation.solve(k, penalty)(held_out.source) - held_out.target).double().square().sum()
    return _Rotation(train, keep).solve(*choices[int(error.argmin())])


class _Rotation:
    """Singular value decomposition of the training sources, shared by all choices of components and penalty."""

    def __init__(self, train: ConnectomePairs, keep: float) -> None:
        source, target = train.source.double(), train.target.double()
        self.keep, self.source_mean, self.target_mean = keep, source.mean(0), target.mean(0)
        centred = source - self.source_mean  # (S, E)
        self.left, self.values, self.right = torch.linalg.svd(centred, full_matrices=False)
        self.projected = self.left.T @ (target - self.target_mean - keep * centred)  # (S, E)

    def solve(self, components: int, penalty: float) -> PCARidge:
        rank = int((self.values > 1e-9 * self.values[0]).sum())
        k = min(components, rank)
        kept = self.values[:k]
        gain = kept / (kept.square() + penalty * self.values[0].square())
        decoder = gain[:, None] * self.projected[:k]
        return PCARidge(k, penalty, self.keep, self.source_mean, self.target_mean, self.right[:k].T, decoder)
