"""Checks of the exercises in the chapter on towers of music; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.music_two_tower import leave_one_out, prototypes

__all__ = ["check_count", "check_leave", "check_self"]


def check_leave(answer: Callable[[Tensor, Tensor, int], Tensor]) -> Verdict:
    """Check cosines with prototypes that leave the sound out.

    Args:
        answer: A function of vectors (N, D), classes (N,) and their number, to cosines (N, K).
    """

    def kept(a: Tensor, label: Tensor, classes: int) -> Tensor:
        return F.normalize(a, dim=1) @ prototypes(a, label, classes).mT

    def everywhere(a: Tensor, label: Tensor, classes: int) -> Tensor:
        sums = F.one_hot(label, classes).to(a).mT @ a
        rest = F.normalize(sums[None] - a[:, None], dim=-1)  # (N, K, D)
        return (F.normalize(a, dim=1)[:, None] * rest).sum(-1)

    def products(a: Tensor, label: Tensor, classes: int) -> Tensor:
        return leave_one_out(a, label, classes) * a.norm(dim=1, keepdim=True)

    mistakes: list[Mistake] = [
        ("The sound is still a part of its own class's prototype.", kept),
        ("Take the sound out of its own class only: it is in no other one.", everywhere),
        ("Divide by the length of the sound's vector: a cosine is asked for.", products),
        ("The vectors are not normalised before they are added up.",
         lambda a, label, K: leave_one_out(F.normalize(a, dim=1), label, K)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n * k, 4, generator=rng) + 0.5, torch.arange(n * k) % k, k) for n, k in ((3, 2), (4, 3))]
    return judge(
        answer, leave_one_out, cases, parts=["the cosines"], right="Each sound is judged by others alone.",
        mistakes=mistakes,
    )  # fmt: skip


def check_count(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check numbers of triplets.

    Args:
        answer: In full, of later classes, and of later classes in the other order.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("Two strangers stand beside the one relative of each of four anchors.", (4, None, None)),
        ("A stranger of the anchor cannot be the nearer one: S has to be larger.", (16, None, None)),
        ("Only the violin has its relative and strangers behind it.", (None, 4, None)),
        ("The flute has the oboe and the cello behind it.", (None, None, 2)),
        ("The cello has no relative behind it in the second order.", (None, None, 4)),
    ]
    return judge(
        lambda: answer,
        lambda: (8, 2, 3),
        [()],
        parts=["all", "later ones", "later ones in the other order"],
        right="A score that depends on the order of a list is a score of the list, too.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.001,
    )


def check_self(answer: Callable[[float, int], tuple[Any, Any]]) -> Verdict:
    """Check the cosines of a sound with its own class's prototype.

    Args:
        answer: A function of the length of the mean and the number of sounds, to both cosines.
    """

    def truth(m: float, n: int) -> tuple[float, float]:
        part = (m * m + 1 / n) ** 0.5 / (m * m + 1) ** 0.5
        return part, m * m / ((m * m + 1) * (m * m + 1 / (n - 1))) ** 0.5

    mistakes: list[Mistake] = [
        ("Without the sound, n - 1 are left.", lambda m, n: (truth(m, n)[0], truth(m, n + 1)[1])),
        ("The sound's own noise is in the mean with a weight of 1/n, and meets itself.",
         lambda m, n: (m * m / ((m * m + 1) * (m * m + 1 / n)) ** 0.5, truth(m, n)[1])),
        ("Divide by the length of the mean, too.",
         lambda m, n: ((m * m + 1 / n) / (m * m + 1) ** 0.5, m * m / (m * m + 1) ** 0.5)),
        ("You exchanged the two.", lambda m, n: truth(m, n)[::-1]),
    ]  # fmt: skip
    return judge(
        answer, truth, [(0.5, 4), (1.0, 9), (0.0, 5)], parts=["as a part", "left out"],
        right="Without signal it is 1/√n against 0.", mistakes=mistakes,
    )  # fmt: skip
