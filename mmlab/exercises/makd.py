"""Checks of the exercises in the chapter on MaKD; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.makd import aspect_loss, yes_share

__all__ = ["check_aspects", "check_soft", "check_table"]


def check_aspects(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the loss (2) of shares (1).

    Args:
        answer: A function of the student's logits, and the teacher's of yes and of no, (B, Q), to one number.
    """
    rng = torch.Generator().manual_seed(0)
    cases = [tuple(torch.randn(3, 5, 4, generator=rng) * scale) for scale in (1.0, 3.0)]
    cases.append((torch.tensor([[500.0, -500.0]]), torch.tensor([[400.0, -400.0]]), torch.zeros(1, 2)))
    mistakes: list[Mistake] = [
        ("This is the sum over questions: (2) is their mean.",
         lambda z, y, n: aspect_loss(z, yes_share(y, n)) * z.numel()),
        ("You swapped yes and no.", lambda z, y, n: aspect_loss(z, yes_share(n, y))),
        ("The logit of no is left out: (1) is the share between the two.",
         lambda z, y, n: aspect_loss(z, torch.sigmoid(y))),
        ("You rounded the answers: the share itself is the target.", lambda z, y, n: aspect_loss(z, (y > n).float())),
    ]  # fmt: skip
    return judge(
        answer,
        lambda z, y, n: aspect_loss(z, yes_share(y, n)),
        cases,
        parts=["the loss"],
        right="It is least where the student gives the teacher's shares, and it holds for large logits.",
        mistakes=mistakes,
    )


def check_soft(answer: tuple[float, float, float]) -> Verdict:
    """Check the derivatives for a soft and for a hard answer, and the least value.

    Args:
        answer: The derivative with 0.9, the derivative with 1, and the entropy over Q.
    """
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("(2) is a mean over the questions: divide by Q.", (0.05, -0.05, None)),
        ("The sign is the other way round: the derivative is the student's share minus the teacher's.",
         (-0.05 / 12, 0.05 / 12, None)),
        ("Not zero: with a share between 0 and 1 the entropy of the answer is left.", (None, None, 0.0)),
        ("The least value is also divided by Q.", (None, None, entropy)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.05 / 12, -0.05 / 12, entropy / 12),
        [()],
        parts=["the soft derivative", "the hard derivative", "the least value"],
        right="Two targets of the same side, and opposite pulls.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-5,
    )


def check_table(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check the error of a table that is made of, and handed out by, partly wrong labels.

    Args:
        answer: A function of the true table (C, Q) and ρ to one number.
    """

    def spread(t: Tensor) -> Tensor:
        return t.var(0, correction=0).mean()

    rng = torch.Generator().manual_seed(0)
    cases = [(torch.rand(8, 5, generator=rng), 0.3), (torch.rand(16, 3, generator=rng), 0.6)]
    mistakes: list[Mistake] = [
        ("This is how far the rows have shrunk. They are also handed to the wrong pictures.",
         lambda t, rho: rho**2 * spread(t)),
        ("You took the rows as right. They are means over pictures of which some have this label by mistake.",
         lambda t, rho: 2 * rho * spread(t)),
        ("You added the questions up: take the mean over them.",
         lambda t, rho: rho * (2 - rho) * spread(t) * t.shape[1]),
        ("The variance over classes is that of all C classes: divide by C, not by C - 1.",
         lambda t, rho: rho * (2 - rho) * t.var(0).mean()),
    ]  # fmt: skip
    return judge(
        answer,
        lambda t, rho: rho * (2 - rho) * spread(t),
        cases,
        parts=["the error"],
        right="Shrinking helps: with rows that were right the error would be 2ρV.",
        mistakes=mistakes,
    )
