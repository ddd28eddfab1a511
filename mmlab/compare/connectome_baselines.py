"""Baselines for any predictor of connectivity: what they reach, a method must beat.

Everything is fitted on the training pairs alone, hyper-parameters included. The rivals take any rows of numbers: pairs
of connectomes, of one parcellation or two, plain tensors or arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmlab.data.pairs import Pairs

__all__ = [
    "PCARidge",
    "Pooled",
    "baselines",
    "change_ridge",
    "fit_pca_ridge",
    "group_mean",
    "identity",
    "mean_shift",
    "pca_ridge",
    "pooled",
    "shrunk_shift",
]

COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200)
PENALTIES = (0.0, *(10.0**exponent for exponent in (-3, -2.5, -2, -1.5, -1, -0.5, 0, 1)))


def baselines(train: Any, test: Any) -> dict[str, Tensor]:
    """Predictions (S, E) of the test subjects' targets, by name, in the order of the book's tables.

    Rivals that need a source of the target's width are left out where the widths differ.

    Args:
        train: What the baselines learn from: anything that :meth:`mmlab.data.pairs.Pairs.of` takes.
        test: Likewise; its targets are predicted, and only its sources are looked at.

    Raises:
        ValueError: If a subject is in both, the data are no pairs, the two sides have different widths, or what the
            baselines look at is not finite.
    """
    named = all(getattr(data, "subjects", None) is not None or "subjects" in _keys(data) for data in (train, test))
    train, test = Pairs.of(train), Pairs.of(test)
    if named and (shared := sorted(set(train.subjects) & set(test.subjects))):
        raise ValueError(f"Subject {shared[0]} is in training and in test: split by subject first.")
    for side in ("source", "target"):
        widths = [getattr(data, side).shape[1] for data in (train, test)]
        if widths[0] != widths[1]:
            raise ValueError(f"The {side} has {widths[0]} columns in training and {widths[1]} in the test.")
    for name, value in (
        ("training source", train.source),
        ("training target", train.target),
        ("test source", test.source),
    ):
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"A {name} holds NaN or infinity: leave that subject out, or that column for everybody.")
    if len(train) < 2:
        raise ValueError(f"There is {len(train)} training row: the baselines need at least 2.")
    rivals: dict[str, Callable[[Pairs, Pairs], Tensor]] = {
        "identity": identity,
        "group mean": group_mean,
        "mean shift": mean_shift,
        "shrunk shift": shrunk_shift,
        "ridge on PCA scores": pca_ridge,
        "ridge on the change": change_ridge,
    }
    if train.source.shape[1] != train.target.shape[1]:
        rivals = {name: rivals[name] for name in ("group mean", "ridge on PCA scores")}
    return {name: rival(train, test) for name, rival in rivals.items()}


def _keys(data: Any) -> Sequence[str]:
    return list(data) if isinstance(data, Mapping) else ()


@dataclass(frozen=True, eq=False)
class Pooled:
    """Predictions of every subject by models that had not seen that subject.

    Attributes:
        predictions: (S, E) by name, in the order of the subjects.
        target: (S, E), the truth.
        train_mean: (S, E), for each subject the mean target of those whom its model was trained on.
        subjects: S ids.
    """

    predictions: dict[str, Tensor]
    target: Tensor
    train_mean: Tensor
    subjects: tuple[str, ...]


def pooled(
    data: Any, predict: Callable[[Any, Any], Mapping[str, Tensor]] = baselines, folds: int | None = None, seed: int = 0
) -> Pooled:
    """Cross-validation whose predictions are put together, so that few subjects, and one per fold, can be scored.

    Hand ``predictions[name]``, ``target`` and ``train_mean`` to :func:`mmlab.metrics.connectome.evaluate`.

    Args:
        data: Anything that :meth:`mmlab.data.pairs.Pairs.of` takes.
        predict: Function of training and test pairs that returns predictions (S, E) by name.
        folds: Number of folds; by default one for each subject: leave one out.
        seed: Seed of the folds.

    Raises:
        ValueError: If there are too few subjects for the folds, or ``predict`` does not give every fold a prediction
            (S, E) of each name.
    """
    whole = Pairs.of(data)
    count = len(set(whole.subjects))
    predictions: dict[str, Tensor] = {}
    mean = torch.empty_like(whole.target)
    names: set[str] | None = None
    for train, test in whole.folds(count if folds is None else folds, seed):
        rows = [row for row, subject in enumerate(whole.subjects) if subject in set(test.subjects)]
        mean[rows] = train.target.mean(0)
        found = predict(train, test)
        names = set(found) if names is None else names
        if set(found) != names:
            raise ValueError(f"The folds have predictions of different names: {sorted(names)} and {sorted(found)}.")
        for name, made in found.items():
            if made.shape != test.target.shape:
                raise ValueError(
                    f"{name!r} predicts {tuple(made.shape)} where {tuple(test.target.shape)} was asked for."
                )
            predictions.setdefault(name, torch.empty_like(whole.target))[rows] = made.to(whole.target)
    return Pooled(predictions, whole.target, mean, whole.subjects)


def identity(train: Pairs, test: Pairs) -> Tensor:
    """Nothing changes: the source itself."""
    return test.source.clone()


def group_mean(train: Pairs, test: Pairs) -> Tensor:
    """Everybody is the average of the training targets."""
    return train.target.mean(0).expand(len(test.source), *train.target.shape[1:]).clone()


def mean_shift(train: Pairs, test: Pairs) -> Tensor:
    """Everybody changes by the average change: source - mean source + mean target."""
    return test.source + (train.target.mean(0) - train.source.mean(0))


def shrunk_shift(train: Pairs, test: Pairs) -> Tensor:
    """Between the group mean and the mean shift: mean target + λ (source - mean source).

    The one number λ is the least-squares slope over all edges and training subjects; it pays for the noise of the
    source and for what of the person changes between the states.
    """
    mean_source, mean_target = train.source.mean(0), train.target.mean(0)
    source, target = (train.source - mean_source).double(), (train.target - mean_target).double()
    slope = float((source * target).sum() / source.square().sum().clamp_min(1e-300))  # 0 if all sources are equal
    return mean_target + slope * (test.source - mean_source)


def pca_ridge(train: Pairs, test: Pairs, seed: int = 0) -> Tensor:
    """Ridge regression of the target on the first principal components of the source; see :func:`fit_pca_ridge`."""
    return fit_pca_ridge(train, seed=seed)(test.source)


def change_ridge(train: Pairs, test: Pairs, seed: int = 0) -> Tensor:
    """Mean shift, and ridge regression of what it misses on the same scores: the strongest linear rival here."""
    return fit_pca_ridge(train, keep=1.0, seed=seed)(test.source)


@dataclass(frozen=True, eq=False)
class PCARidge:
    """A fitted ridge regression on principal component scores.

    Attributes:
        components: Number of components that cross-validation chose.
        penalty: Penalty that it chose, relative to the largest variance of a score.
        keep: Weight of the source itself: 0, or 1 if the change was regressed.
        source_mean: (D,).
        target_mean: (E,).
        encoder: (D, k), from centred source to scores.
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
        """Predict: (S, D) -> (S, E)."""
        centred = source.double() - self.source_mean
        predicted = self.target_mean + centred @ self.encoder @ self.decoder
        return (predicted + self.keep * centred if self.keep else predicted).to(source.dtype)


def fit_pca_ridge(
    train: Pairs,
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
        seed: Seed of the folds.

    Returns:
        The fit on all training subjects with the pair of choices of least squared error.

    Raises:
        ValueError: If a number to try is none, or the pairs hold NaN or infinity.
    """
    train = Pairs.of(train)
    if not penalties or not all(0 <= penalty < math.inf for penalty in penalties):
        raise ValueError(f"penalties={tuple(penalties)}: give some, from 0 up and finite.")
    if not components or not all(k >= 1 for k in components) or not math.isfinite(keep):
        raise ValueError(f"components={tuple(components)}, keep={keep}: give numbers from 1 up, and a finite weight.")
    if not bool(torch.isfinite(train.source).all() and torch.isfinite(train.target).all()):
        raise ValueError("The pairs hold NaN or infinity: leave those subjects out.")
    most = len(train) - 1  # more components than that are the same fit again
    choices = [(k, penalty) for k in sorted({min(k, most) for k in components}) for penalty in penalties]
    error = torch.zeros(len(choices), dtype=torch.float64)
    for part, held_out in train.folds(min(folds, len(set(train.subjects))), seed):
        errors = _Rotation(part, keep).errors(held_out)
        error += torch.stack([errors(k, penalty) for k, penalty in choices])
    return _Rotation(train, keep).solve(*choices[int(error.argmin())])


class _Rotation:
    """Singular value decomposition of the training sources, shared by all choices of components and penalty."""

    def __init__(self, train: Pairs, keep: float) -> None:
        source, target = train.source.double(), train.target.double()
        self.keep, self.source_mean, self.target_mean = keep, source.mean(0), target.mean(0)
        centred = source - self.source_mean  # (S, D)
        self.left, self.values, self.right = torch.linalg.svd(centred, full_matrices=False)
        missed = target - self.target_mean  # (S, E)
        self.projected = self.left.T @ (missed - keep * centred if keep else missed)  # (S, E)
        self.rank = int((self.values > 1e-9 * self.values[0]).sum())

    def gain(self, components: int, penalty: float) -> Tensor:
        kept = self.values[: min(components, self.rank)]  # none, if all sources are equal
        return kept / (kept.square() + penalty * self.values[0].square())

    def solve(self, components: int, penalty: float) -> PCARidge:
        gain = self.gain(components, penalty)
        k = len(gain)
        decoder = gain[:, None] * self.projected[:k]
        return PCARidge(k, penalty, self.keep, self.source_mean, self.target_mean, self.right[:k].T, decoder)

    def errors(self, held_out: Pairs) -> Callable[[int, float], Tensor]:
        """The sum of squared errors on held-out pairs of any choice, without a prediction for each.

        With scores z, gains g and projections p, it is ‖y - Σ_r z_r g_r p_r‖², a quadratic form in g.
        """
        centred = held_out.source.double() - self.source_mean
        missed = held_out.target.double() - self.target_mean
        if self.keep:
            missed = missed - self.keep * centred
        scores = centred @ self.right.T  # (B, S)
        linear = (scores * (missed @ self.projected.T)).sum(0)  # (S,)
        square = (scores.T @ scores) * (self.projected @ self.projected.T)  # (S, S)
        constant = missed.square().sum()

        def error(components: int, penalty: float) -> Tensor:
            gain = self.gain(components, penalty)
            k = len(gain)
            return constant - 2 * gain @ linear[:k] + gain @ square[:k, :k] @ gain

        return error
