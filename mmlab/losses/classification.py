"""Cross-entropy of classifiers, over the items that have what the classifier sees."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["cross_entropy", "mean_over_present", "true_class"]


def mean_over_present(values: Tensor, present: Tensor | None = None) -> Tensor:
    """Mean over the items that are present: (..., B) to (...); 0 where there is none.

    Args:
        values: One number for each item, shape (..., B).
        present: Which items count, boolean (..., B); None for all.

    Raises:
        ValueError: If values and present are of different numbers of items.
    """
    if present is None:
        return values.mean(-1)
    if values.shape[-1:] != present.shape[-1:]:
        raise ValueError(
            f"values are {tuple(values.shape)} and present {tuple(present.shape)}: the last must be alike."
        )
    # where() and not a product: the value of an absent item may be NaN
    return torch.where(present, values, 0).sum(-1) / present.sum(-1).clamp(min=1)


def cross_entropy(logits: Tensor, label: Tensor, present: Tensor | None = None) -> Tensor:
    """Mean of -log p(y), with p the softmax of the logits, over the items that are present.

    Args:
        logits: Logits of one classifier (B, K), or of several (..., B, K). A constant added to a row changes nothing,
            so log-probabilities do as well.
        label: Class y of each item, integers of shape (B,).
        present: Which items have what the classifier sees, boolean (..., B); None for all.

    Returns:
        The mean for each classifier, shape (...): a scalar for one, in nats; 0 where nothing is present.

    Raises:
        ValueError: If there is not one label for each item.
    """
    _check_labels(logits, label)
    each = F.cross_entropy(logits.flatten(0, -2), label.expand(logits.shape[:-1]).flatten(), reduction="none")
    return mean_over_present(each.view(logits.shape[:-1]), present)


def true_class(logits: Tensor, label: Tensor) -> Tensor:
    """Probability of the true class, (..., B), from logits (..., B, K) and labels (B,).

    Raises:
        ValueError: If there is not one label for each item.
    """
    _check_labels(logits, label)
    index = label.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.softmax(-1).gather(-1, index).squeeze(-1)


def _check_labels(logits: Tensor, label: Tensor) -> None:
    """One label would otherwise be that of all items."""
    if label.shape != logits.shape[-2:-1]:
        raise ValueError(
            f"logits are {tuple(logits.shape)} and label is {tuple(label.shape)}; expected (..., B, K) and (B,)."
        )
