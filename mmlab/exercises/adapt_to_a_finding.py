"""Checks of the exercises in the chapter on adapting to a finding; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_first", "check_lora", "check_memory"]

_UNET, _LORA = 859_520_964, 199_296 * 4


def check_lora(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check a low-rank layer (1).

    Args:
        answer: A function of x (B, in), W (out, in), A (r, in), B (out, r) and α; it returns (B, out).
    """
    rng = torch.Generator().manual_seed(0)

    def case(rank: int, alpha: float) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        shapes = ((3, 5), (4, 5), (rank, 5), (4, rank))
        x, w, a, b = (torch.randn(shape, generator=rng) for shape in shapes)
        return x, w, a, b, alpha

    def moved(x: Tensor, w: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        return x @ w.T + scale * x @ a.T @ b.T

    return judge(
        answer,
        lambda x, w, a, b, alpha: moved(x, w, a, b, alpha / len(a)),
        [case(2, 3.0), case(3, 1.0), case(1, 2.0)],
        parts=["the output"],
        right="The thin product is never formed: two small multiplications do.",
        mistakes=[
            ("The update is multiplied by α / r, not by α.", lambda x, w, a, b, alpha: moved(x, w, a, b, alpha)),
            ("The update is multiplied by α / r; here it has no factor.",
             lambda x, w, a, b, alpha: moved(x, w, a, b, 1)),
            ("The output of the frozen weight is missing.", lambda x, w, a, b, alpha: alpha / len(a) * x @ a.T @ b.T),
            ("The sign of the update is the wrong way round.",
             lambda x, w, a, b, alpha: moved(x, w, a, b, -alpha / len(a))),
        ],
    )  # fmt: skip


def check_memory(answer: tuple[float, float]) -> Verdict:
    """Check what full tuning and QLoRA hold.

    Args:
        answer: GB of full tuning, and of LoRA on four bits.
    """
    full, four = _UNET * 12 / 1e9, (_UNET * 4.127 / 8 + _LORA * 16) / 1e9
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("For full tuning you left out the second moment: Adam keeps two.", (_UNET * 8 / 1e9, None)),
        ("For full tuning you left out the moments.", (_UNET * 4 / 1e9, None)),
        ("For full tuning you left out the gradients.", (_UNET * 10 / 1e9, None)),
        ("For four bits you took bits for bytes.", (None, (_UNET * 4.127 + _LORA * 16) / 1e9)),
        ("For four bits you left out what the updates need.", (None, _UNET * 4.127 / 8 / 1e9)),
        ("For four bits you gave gradients and moments to the frozen weights.", (None, _UNET * (4.127 / 8 + 12) / 1e9)),
        ("A GB is 10⁹ bytes here.", (_UNET * 12 / 2**30, None)),
    ]
    return judge(
        lambda: answer,
        lambda: (full, four),
        [()],
        parts=["GB of full tuning", "GB of four bits"],
        right="Gradients and moments of the frozen weights are what is saved; the four bits come on top.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_first(answer: Callable[[Tensor, Tensor, float, float], Tensor]) -> Verdict:
    """Check the first step of LoRA.

    Args:
        answer: A function of G (out, in), A (r, in), η and α; it returns the change of the effective weight, (out, in).
    """
    rng = torch.Generator().manual_seed(1)
    cases = []
    for rank, eta, alpha in ((2, 0.1, 3.0), (3, 0.5, 1.0)):
        cases.append((torch.randn(4, 5, generator=rng), torch.randn(rank, 5, generator=rng), eta, alpha))

    def change(g: Tensor, a: Tensor, factor: float) -> Tensor:
        return factor * g @ a.T @ a

    return judge(
        answer,
        lambda g, a, eta, alpha: change(g, a, -eta * (alpha / len(a)) ** 2),
        cases,
        parts=["the change"],
        right="Full tuning's step, seen through the rows of A.",
        mistakes=[
            ("The factor α / r comes twice: once in the gradient of B, once in the product.",
             lambda g, a, eta, alpha: change(g, a, -eta * alpha / len(a))),
            ("The factor α / r is missing, and it comes twice.", lambda g, a, eta, alpha: change(g, a, -eta)),
            ("The sign: descent goes against the gradient.",
             lambda g, a, eta, alpha: change(g, a, eta * (alpha / len(a)) ** 2)),
            ("This is the step of full tuning; LoRA sees it through A.", lambda g, a, eta, alpha: -eta * g),
        ],
    )  # fmt: skip
