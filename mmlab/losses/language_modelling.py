"""Next-token cross-entropy where there are labels, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy

__all__ = ["language_modelling_loss"]


def language_modelling_loss(
    hidden: Tensor, head: Callable[[Tensor], Tensor], labels: Tensor, weights: Tensor | None = None, items: int = 1
) -> Tensor:
    """Cross-entropy of N answers' tokens, with logits for these N positions only.

    With a vocabulary of V, the logits of all T positions would take B x T x V numbers, most of them for words that
    nobody asks about: in instruction tuning, a few dozen of many hundred positions.

    Args:
        hidden: (N, D), the states that predict.
        head: From states to logits: (N, D) -> (N, V).
        labels: (N,), the tokens to predict.
        weights: (N,), or None for the mean over the N tokens.
        items: B, by which a weighted sum is divided.

    Returns:
        Scalar; zero, with a gradient, if N is 0.

    Raises:
        ValueError: If labels or weights are not one for each state.
    """
    for name, values in (("labels", labels), ("weights", weights)):
        if values is not None and values.shape != hidden.shape[:1]:
            raise ValueError(f"{name} is {tuple(values.shape)}; for {len(hidden)} states it must be ({len(hidden)},).")
    logits = head(hidden).float()  # (N, V)
    if len(labels) == 0:
        return logits.sum() * 0
    if weights is None:
        return cross_entropy(logits, labels)  # Eq. (3)
    return (weights * cross_entropy(logits, labels, reduction="none")).sum() / items
