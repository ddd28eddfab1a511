"""Checks of the exercises in the chapter on GRPO; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.grpo import group_advantages

__all__ = ["check_advantages", "check_expected", "check_silent"]


def check_advantages(answer: Callable[[Tensor], Tensor]) -> Verdict:
    """Check equation (1).

    Args:
        answer: A function of rewards (B, G), to advantages (B, G).
    """

    def truth(rewards: Tensor) -> Tensor:
        return group_advantages(rewards)

    def over_the_batch(rewards: Tensor) -> Tensor:
        return (rewards - rewards.mean()) / (rewards.std() + 1e-6)

    mistakes: list[Mistake] = [
        ("This is the deviation with G in its denominator.", lambda rewards: group_advantages(rewards, "biased")),
        ("Divide by the deviation of the group.", lambda rewards: group_advantages(rewards, "none")),
        ("Each group has its own mean and deviation, not the batch.", over_the_batch),
        ("Subtract the mean of the group.", lambda rewards: rewards / (rewards.std(1, keepdim=True) + 1e-6)),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.rand(3, 8, generator=rng),), (torch.rand(2, 4, generator=rng) + torch.tensor([[1.0], [3.0]]),)]
    right = "They sum to 0 in every group."
    return judge(answer, truth, cases, parts=["the advantages"], right=right, mistakes=mistakes)


def check_silent(answer: Callable[[Tensor, Tensor, int], Tensor]) -> Verdict:
    """Check the share of groups without spread.

    Args:
        answer: A function of shares (K,), probabilities (K,) and the size of a group, to a number.
    """

    def truth(shares: Tensor, p: Tensor, G: int) -> Tensor:
        return (shares * (p**G + (1 - p) ** G)).sum()

    mistakes: list[Mistake] = [
        ("Groups that are all wrong have no spread, either.", lambda shares, p, G: (shares * p**G).sum()),
        ("Groups that are all right have no spread, either.", lambda shares, p, G: (shares * (1 - p) ** G).sum()),
        ("Average the shares of the kinds, not their probabilities: the power is not linear.",
         lambda shares, p, G: (shares @ p) ** G + (1 - shares @ p) ** G),
    ]  # fmt: skip
    cases = [
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.9, 0.5, 0.05]), 8),
        (torch.tensor([0.6, 0.4]), torch.tensor([0.2, 0.7]), 4),
    ]
    right = "A mixture of easy and impossible prompts is silent, though its mean reward looks healthy."
    return judge(answer, truth, cases, parts=["the share"], right=right, mistakes=mistakes)


def check_expected(answer: Callable[[Tensor, Tensor, int], Tensor]) -> Verdict:
    """Check the expected gradient on a bandit.

    Args:
        answer: A function of logits (K,), rewards (K,) and the size of a group, to the gradient (K,).
    """

    def truth(logits: Tensor, r: Tensor, G: int) -> Tensor:
        pi = logits.softmax(0)
        return (G - 1) / G * pi * (r - pi @ r)

    mistakes: list[Mistake] = [
        ("Each answer's own reward is in the mean: a factor is missing.",
         lambda logits, r, G: truth(logits, r, G) * G / (G - 1)),
        ("The baseline of the gradient is the expected reward, not the mean over the kinds of answers.",
         lambda logits, r, G: (G - 1) / G * logits.softmax(0) * (r - r.mean())),
        ("Answers are drawn by their probability: each entry has a factor of it.",
         lambda logits, r, G: (G - 1) / G * (r - logits.softmax(0) @ r)),
        ("The factor is (G - 1)/G: a large group comes near the exact gradient.",
         lambda logits, r, G: truth(logits, r, G) / (G - 1)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(4, generator=rng), torch.rand(4, generator=rng), G) for G in (3, 5)]
    right = "The direction is exact; the group's size only changes the length."
    return judge(answer, truth, cases, parts=["the gradient"], right=right, mistakes=mistakes)
