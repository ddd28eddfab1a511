"""Classification by text alone: a class is the direction of its prompts, and a picture belongs to the nearest one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["class_vectors", "zero_shot"]


def class_vectors(prompts: Tensor, label: Tensor, classes: int) -> Tensor:
    """Unit vectors of classes, each the direction of the mean of its prompts' unit vectors.

    Args:
        prompts: Vectors of prompts, (P, D); they need no normalisation.
        label: Class of each prompt, (P,), from 0 on; the order of the prompts does not count.
        classes: Number of classes K; each needs a prompt.

    Returns:
        (K, D).

    Raises:
        ValueError: If the counts do not fit, or a class has no prompt.
    """
    if prompts.ndim != 2 or label.shape != prompts.shape[:1]:
        raise ValueError(f"class_vectors: prompts {tuple(prompts.shape)} need a class each, not {tuple(label.shape)}.")
    count = torch.bincount(label, minlength=classes)
    if len(count) != classes or not count.all():
        raise ValueError(f"class_vectors: of {classes} classes, each needs a prompt, and no prompt may be of another.")
    total = prompts.new_zeros(classes, prompts.shape[1]).index_add(0, label, F.normalize(prompts, dim=-1))
    return F.normalize(total / count[:, None], dim=-1)


def zero_shot(pictures: Tensor, classes: Tensor, scale: float = 100.0) -> Tensor:
    """Probabilities of classes (N, K): the softmax of scaled cosines.

    Args:
        pictures: Vectors (N, D).
        classes: Vectors of classes, (K, D), as from :func:`class_vectors`.
        scale: What the cosines are multiplied by; it changes how sure the answer is, not which one it is.
    """
    return (scale * F.normalize(pictures, dim=-1) @ F.normalize(classes, dim=-1).mT).softmax(-1)
