"""How good are predicted class probabilities: right, well ranked, and honest about their own certainty?

Every measure takes probabilities (N, K) and labels (N,) and returns a float. Where several classes share the largest
probability, the vote is split evenly between them: so the uniform answer scores exactly chance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "accuracy",
    "area_under_curve",
    "brier",
    "expected_calibration_error",
    "fit_temperature",
    "log_loss",
    "macro_f1",
    "reliability",
    "temper",
]


def accuracy(probabilities: Tensor, label: Tensor) -> float:
    """Share of items whose most probable class is the right one.

    Args:
        probabilities: Probabilities of the classes, (N, K); rows sum to one.
        label: Right classes, integers (N,) in [0, K).

    Raises:
        ValueError: If shapes, rows or labels are impossible; so do all measures of this module.
    """
    probabilities, label = _checked(probabilities, label)
    return float(_right(probabilities, label).mean())


def macro_f1(probabilities: Tensor, label: Tensor) -> float:
    """Mean over classes of 2 TP / (2 TP + FP + FN), every class with equal weight.

    A class that is neither right nor predicted for any item does not count.

    Args:
        probabilities: Probabilities of the classes, (N, K).
        label: Right classes, (N,).
    """
    probabilities, label = _checked(probabilities, label)
    votes, truth = _votes(probabilities), _one_hot(label, probabilities)
    hits = (votes * truth).sum(0)  # (K,)
    total = votes.sum(0) + truth.sum(0)  # 2 TP + FP + FN
    return float((2 * hits / total)[total > 0].mean())


def area_under_curve(probabilities: Tensor, label: Tensor) -> float:
    """Area under the ROC curve; of more than two classes, the mean over classes of one against the rest.

    Args:
        probabilities: Probabilities of the classes, (N, K).
        label: Right classes, (N,); each class must occur.

    Raises:
        ValueError: If a class does not occur: it has no curve.
    """
    from scipy.stats import rankdata

    probabilities, label = _checked(probabilities, label)
    truth = _one_hot(label, probabilities)
    if absent := (truth.sum(0) == 0).nonzero().flatten().tolist():
        raise ValueError(f"Class {absent[0]} of {truth.shape[1]} does not occur among the labels: it has no ROC curve.")
    if truth.shape[1] == 1:
        raise ValueError("There is one class only: a ROC curve needs two.")
    if truth.shape[1] == 2:
        truth, probabilities = truth[:, 1:], probabilities[:, 1:]
    ranks = torch.from_numpy(rankdata(probabilities.numpy(), axis=0))  # (N, K), the mean of equal ones
    count = truth.sum(0)  # (K,), of those that are right
    below = (truth * ranks).sum(0) - count * (count + 1) / 2  # pairs in the right order
    return float((below / (count * (len(truth) - count))).mean())


def log_loss(probabilities: Tensor, label: Tensor) -> float:
    """Mean of -log p(label), in nats; probabilities below the precision of their type count as that precision.

    Args:
        probabilities: Probabilities of the classes, (N, K).
        label: Right classes, (N,).
    """
    smallest = torch.finfo(probabilities.dtype).eps if probabilities.is_floating_point() else 0.0
    probabilities, label = _checked(probabilities, label)
    return float(-probabilities.gather(1, label[:, None]).clamp_min(smallest).log().mean())


def brier(probabilities: Tensor, label: Tensor) -> float:
    """Mean squared distance of the probabilities from the right corner, summed over classes: in [0, 2] (Brier 1950).

    Args:
        probabilities: Probabilities of the classes, (N, K).
        label: Right classes, (N,).
    """
    probabilities, label = _checked(probabilities, label)
    return float((probabilities - _one_hot(label, probabilities)).square().sum(1).mean())


def expected_calibration_error(probabilities: Tensor, label: Tensor, bins: int = 15) -> float:
    """Mean gap between how sure the classifier is of its answer and how often that answer is right.

    Σ_b (n_b / N) |right_b - confidence_b| over bins of equal width (Guo et al. 2017, Eq. 3). It is biased upwards where
    bins hold few items: compare it only between results on the same items with the same bins.

    Args:
        probabilities: Probabilities of the classes, (N, K).
        label: Right classes, (N,).
        bins: Number of bins of (0, 1].
    """
    confidence, right, count = reliability(probabilities, label, bins)
    filled = count > 0
    return float((count * (right - confidence).abs())[filled].sum() / count.sum())


def reliability(probabilities: Tensor, label: Tensor, bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """The curve behind the calibration error.

    Args:
        probabilities: Probabilities of the classes, (N, K).
        label: Right classes, (N,).
        bins: Number of bins; bin b holds confidences in (b/bins, (b+1)/bins].

    Returns:
        For each bin, (bins,) each: mean confidence, share of right answers (both NaN where it is empty), and count.

    Raises:
        ValueError: If there is no bin, or the input is impossible.
    """
    if bins < 1:
        raise ValueError(f"bins={bins}: there must be at least one.")
    probabilities, label = _checked(probabilities, label)
    confidence, right = probabilities.max(1).values, _right(probabilities, label)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    place = torch.bucketize(confidence, edges)  # right edge included
    count = torch.bincount(place, minlength=bins).double()
    means = [torch.bincount(place, weights=value, minlength=bins) / count for value in (confidence, right)]
    return means[0], means[1], count


def temper(probabilities: Tensor, temperature: float) -> Tensor:
    """Probabilities (N, K) raised to 1/T and renormalised: T > 1 makes them less sure, and the ranking stays.

    Raises:
        ValueError: If the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive.")
    smallest = torch.finfo(probabilities.dtype).tiny
    return (probabilities.clamp_min(smallest).log() / temperature).softmax(-1)


def fit_temperature(probabilities: Tensor, label: Tensor) -> float:
    """The temperature with the least log loss (Guo et al. 2017, section 4.2). Fit it on held-out items, never on test.

    Args:
        probabilities: Probabilities of the classes, (N, K), on items that the classifier was not trained on.
        label: Right classes, (N,).

    Returns:
        T in [e⁻⁵, e⁵], for :func:`temper`. The loss is convex in 1/T, so there is one minimum.
    """
    from scipy.optimize import minimize_scalar

    probabilities, label = _checked(probabilities, label)
    found = minimize_scalar(
        lambda log_t: log_loss(temper(probabilities, math.exp(log_t)), label), bounds=(-5, 5), method="bounded"
    )
    return math.exp(float(found.x))


def _votes(probabilities: Tensor) -> Tensor:
    """One vote per item for its most probable class, split evenly between equals: (N, K)."""
    best = (probabilities == probabilities.max(1, keepdim=True).values).double()
    return best / best.sum(1, keepdim=True)


def _right(probabilities: Tensor, label: Tensor) -> Tensor:
    return _votes(probabilities).gather(1, label[:, None])[:, 0]  # (N,)


def _one_hot(label: Tensor, probabilities: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(label, probabilities.shape[1]).double()


def _checked(probabilities: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Both on the CPU, the probabilities in double precision."""
    if probabilities.ndim != 2 or label.shape != probabilities.shape[:1] or not len(label):
        shapes = (tuple(probabilities.shape), tuple(label.shape))
        raise ValueError(f"probabilities and label are {shapes[0]} and {shapes[1]}; expected (N, K) and (N,), N >= 1.")
    if label.is_floating_point() or label.dtype == torch.bool:
        raise ValueError(f"label is {label.dtype}; it must hold the number of the class, an integer.")
    probabilities, label = probabilities.detach().cpu().double(), label.detach().cpu().long()
    low, high, classes = int(label.min()), int(label.max()), probabilities.shape[1]
    if low < 0 or high >= classes:
        raise ValueError(f"label goes from {low} to {high}, but there are probabilities of {classes} classes only.")
    sums = probabilities.sum(1)
    if not bool(((sums - 1).abs() < 1e-3).all()) or bool((probabilities < 0).any()):
        raise ValueError("The rows of probabilities are not >= 0 with the sum one: take the softmax of logits first.")
    return probabilities, label
