"""Checks of the exercises in the chapter on domain adaptation; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.metrics.multiple_choice import joint_accuracy

__all__ = ["check_count", "check_joint", "check_leak"]


def check_joint(answer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Verdict:
    """Check the three shares of (4).

    Args:
        answer: A function of the right first and second answers, (N,) bool, to three numbers.
    """

    def truth(first: Tensor, second: Tensor) -> tuple[float, float, float]:
        return joint_accuracy(first.tolist(), second.tolist())

    rng = torch.Generator().manual_seed(0)
    cases = [(torch.rand(12, generator=rng) < 0.6, torch.rand(12, generator=rng) < 0.7) for _ in range(2)]
    cases.append((torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)))
    mistakes: list[Mistake] = [
        ("The second share is of the items whose first answer is right.",
         lambda a, b: (a.double().mean(), b.double().mean(), (a & b).double().mean())),
        ("The product of the two accuracies is the joint share only if they are independent.",
         lambda a, b: (*truth(a, b)[:2], a.double().mean() * b.double().mean())),
    ]  # fmt: skip
    return judge(
        answer,
        truth,
        cases,
        parts=["P(a)", "P(b | a)", "P(both)"],
        right="The product of the first two is the third, always.",
        mistakes=mistakes,
    )


def check_count(answer: tuple[float, float, float]) -> Verdict:
    """Check the number of trained values, their share, and the factor.

    Args:
        answer: The three numbers.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("There are two factors, A and B.", (16.0 * 4096, None, None)),
        ("The factors are thin: r × 4096 each, not r × r.", (2.0 * 16 * 16, None, None)),
        ("The factor is α / r, not α.", (None, None, 256.0)),
        ("The factor is α / r, not r / α.", (None, None, 0.5)),
    ]
    return judge(
        lambda: answer,
        lambda: (131072.0, 131072 / 4096**2, 2.0),
        [()],
        parts=["the number of values", "the share", "the factor"],
        right="Less than a hundredth of the matrix.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=1e-6,
    )


def check_leak(answer: Callable[[float, float, float, float], float]) -> Verdict:
    """Check the expected score of a test of which a part has leaked.

    Args:
        answer: A function of the leaked share ρ, the share ν of wrong labels, the skill q and the memory m.
    """

    def honest(nu: float, q: float) -> float:
        return q * (1 - nu) + (1 - q) * nu

    cases = [(0.5, 0.3, 0.9, 0.8), (0.2, 0.1, 0.6, 0.5), (1.0, 0.3, 1.0, 1.0)]
    mistakes: list[Mistake] = [
        ("A wrong answer agrees with a wrong label: add (1 - q) ν.",
         lambda rho, nu, q, m: q * (1 - nu) + rho * m * (1 - q * (1 - nu))),
        ("This is the score against true labels. The test has the recorded ones.",
         lambda rho, nu, q, m: q + rho * m * (1 - q)),
        ("What is in training but not learnt by heart is answered like the others.",
         lambda rho, nu, q, m: (1 - rho) * honest(nu, q) + rho * m),
        ("The leak's gain has to be added only where the honest answer would not have agreed.",
         lambda rho, nu, q, m: honest(nu, q) + rho * m),
    ]  # fmt: skip
    return judge(
        answer,
        lambda rho, nu, q, m: honest(nu, q) + rho * m * (1 - honest(nu, q)),
        cases,
        parts=["the score"],
        right="With all labels by heart the score is one, however many of them are wrong.",
        mistakes=mistakes,
    )
