"""What frozen vectors know: a nearest class mean, and a line, fitted to a few labelled items or to many.

Both are fitted to what they are given and answer for other items. The penalty of the line is chosen on validation
items; the test items are not handed over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmlab.losses.contrastive import cosine_similarity
from mmlab.metrics.zero_shot import class_vectors

__all__ = ["LinearProbe", "few", "linear_probe", "nearest_mean"]

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse strengths C of the penalty that a linear probe tries."""


def few(label: Tensor, shots: int, seed: int = 0) -> Tensor:
    """Rows of so many items of each class, drawn at random, (K · shots,), class by class.

    Args:
        label: Class of each item, (N,).
        shots: Items of each class.
        seed: Seed of the drawing.

    Raises:
        ValueError: If a class has fewer items.
    """
    rng = torch.Generator().manual_seed(seed)
    chosen = []
    for value in sorted(set(label.tolist())):
        rows = (label == value).nonzero()[:, 0]
        if len(rows) < shots:
            raise ValueError(f"few: class {value} has {len(rows)} items, fewer than shots={shots}.")
        chosen.append(rows[torch.randperm(len(rows), generator=rng)[:shots]])
    return torch.cat(chosen)


def nearest_mean(x: Tensor, label: Tensor, new: Tensor, classes: int) -> Tensor:
    """Cosines (M, K) of new vectors (M, D) with the mean direction of each class of vectors (N, D), or prototypes."""
    return cosine_similarity(new, class_vectors(x, label, classes))


class LinearProbe:
    """Logistic regression on standardised vectors.

    Attributes:
        strength: Inverse strength C of the penalty that was kept.
    """

    def __init__(self, x: Tensor, label: Tensor, strength: float) -> None:
        from sklearn.linear_model import LogisticRegression

        self.strength = strength
        self.mean, self.deviation = x.mean(0), x.std(0).clamp(min=1e-6)
        self.line = LogisticRegression(C=strength, max_iter=300).fit(self._scaled(x), label.numpy())

    def _scaled(self, x: Tensor) -> np.ndarray:
        return np.asarray(((x - self.mean) / self.deviation).double())

    def probabilities(self, x: Tensor) -> Tensor:
        """Probabilities (N, K) float64 of the classes that it was fitted to, in ascending order."""
        return torch.from_numpy(self.line.predict_proba(self._scaled(x)))

    def right(self, x: Tensor, label: Tensor) -> Tensor:
        """Whether each item's answer is right, (N,) float."""
        return torch.from_numpy(self.line.predict(self._scaled(x)) == label.numpy()).float()


def linear_probe(
    x: Tensor,
    label: Tensor,
    validation: tuple[Tensor, Tensor],
    strengths: Sequence[float] = STRENGTHS,
) -> LinearProbe:
    """The line whose penalty does best on validation items.

    Args:
        x: Vectors to fit to, (N, D).
        label: Their classes, (N,).
        validation: Vectors (M, D) and classes (M,) by which the penalty is chosen, by accuracy; the strongest wins a
            tie.
        strengths: Inverse strengths C that are tried, in ascending order.
    """
    tried = [LinearProbe(x, label, strength) for strength in strengths]
    scores = [float(probe.right(*validation).mean()) for probe in tried]
    return tried[scores.index(max(scores))]
