"""Checks of the exercises in the chapter on VQGAN; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_bits", "check_means", "check_rounding"]


def check_bits(answer: tuple[float, float]) -> Verdict:
    """Check the bits of a picture in words, and how many fewer they are.

    Args:
        answer: Bits of the words, and the factor to the bits of the pixels.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("A word of K = 1024 takes log₂ K bits, not K.", (256 * 1024.0, None)),
        ("The grid has 16 × 16 places: the sides are divided by 16, and so is each of them.", (160.0, None)),
        ("Three colours of 8 bits each: the pixels take more.", (2560.0, 256**2 * 8 / 2560)),
        ("This is the inverse: by how much do the words take fewer bits?", (2560.0, 2560 / (256**2 * 24))),
    ]
    return judge(
        lambda: answer,
        lambda: (2560.0, 256**2 * 24 / 2560),
        [()],
        parts=["the bits of the words", "the factor"],
        right="Whoever writes such pictures has 256 words to choose, not 65,536 pixels.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_means(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check the codes after one step of running means, from nothing.

    Args:
        answer: A function of vectors (n, D), codes (K, D) and γ; it returns the new codes.
    """

    def truth(z: Tensor, codebook: Tensor, gamma: float) -> Tensor:
        k = torch.cdist(z, codebook).argmin(1)
        new = codebook.clone()
        for number in set(k.tolist()):
            new[number] = z[k == number].mean(0)
        return new

    def shared(z: Tensor, codebook: Tensor, gamma: float) -> Tensor:
        return gamma * codebook + (1 - gamma) * truth(z, codebook, gamma)

    def emptied(z: Tensor, codebook: Tensor, gamma: float) -> Tensor:
        k = torch.cdist(z, codebook).argmin(1)
        used = torch.bincount(k, minlength=len(codebook)) > 0
        return torch.where(used[:, None], truth(z, codebook, gamma), torch.zeros_like(codebook))

    rng = torch.Generator().manual_seed(1)
    cases = []
    for n, codes, gamma in ((12, 3, 0.9), (40, 5, 0.5)):
        codebook = torch.randn(codes, 2, generator=rng)
        codebook[-1] = 9.0  # nobody chooses it
        cases.append((torch.randn(n, 2, generator=rng), codebook, gamma))
    return judge(
        answer,
        truth,
        cases,
        parts=["the codes"],
        right="In the first step γ drops out: sums and counts are both multiplied by 1 - γ.",
        mistakes=[
            ("The old codes have no share: sums and counts begin at nothing.", shared),
            ("A code that nobody chose has no mean: leave it where it is.", emptied),
            (
                "Each vector goes to its nearest code; this is the mean of all vectors.",
                lambda z, codebook, gamma: z.mean(0).expand_as(codebook),
            ),
        ],
    )


def check_rounding(answer: Callable[[float, int], float]) -> Verdict:
    """Check the squared error of a grid of codes.

    Args:
        answer: A function of the bits of a word and the length D of the vectors; it returns the error of one number.
    """
    return judge(
        answer,
        lambda bits, D: 2 ** (-2 * bits / D) / 12,
        [(8.0, 1), (8.0, 2), (8.0, 8), (3.0, 3)],
        parts=["the squared error of a number"],
        right="Each further bit of a word divides the error by 4 where D is 1, and hardly changes it where D is large.",
        mistakes=[
            ("The bits are shared by the D numbers of a vector.", lambda bits, D: 2 ** (-2 * bits) / 12),
            ("This is the width of a cell; the error of a uniform number in it is its square over 12.",
             lambda bits, D: 2 ** (-bits / D)),
            ("The variance of a uniform number on [0, w] is w² / 12.", lambda bits, D: 2 ** (-2 * bits / D)),
            ("This is the sum over the D numbers; asked is one of them.",
             lambda bits, D: D * 2 ** (-2 * bits / D) / 12),
        ],
    )  # fmt: skip
