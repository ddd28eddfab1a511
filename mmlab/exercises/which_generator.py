"""Checks of the exercises in the chapter on Kandinsky's prior and the contest; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_open", "check_step", "check_two"]


def check_open(answer: tuple[float, float, float]) -> Verdict:
    """Check what a text leaves open of a picture's embedding of one number.

    Args:
        answer: The mean, the variance that is left, and the factor of (5).
    """

    def factor(v: float) -> float:
        return math.sqrt(0.5) * v / (0.5 * v + 0.5)

    left = 4 - 1.2**2
    truth = (2.4, left, factor(left))
    mistakes = [
        ("The weight is the covariance over the variance of the text, not of the picture.", (0.6, *truth[1:])),
        ("This is the picture's whole variance: the text tells some of it.", (2.4, 4.0, factor(4.0))),
        ("The correlation is not the covariance: 1.2 is the latter.", (2.4, 4 * (1 - 1.2**2 / 16), truth[2])),
        (
            "The signal is shrunk by √ᾱ, so the factor has a √ᾱ above the line.",
            (*truth[:2], factor(left) * math.sqrt(2)),
        ),
    ]
    return judge(
        lambda: answer,
        lambda: truth,
        [()],
        parts=["the mean", "the variance that is left", "the factor"],
        right="The text tells 1.44 of 4, whatever it says.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_step(answer: Callable[[float, float, float, float], tuple[float, float]]) -> Verdict:
    """Check mean and variance of a step of the sampler, (8).

    Args:
        answer: A function of e_t, the expected embedding, and the levels now and then.
    """

    def parts(x: float, clean: float, now: float, then: float) -> tuple[float, float]:
        kept = now / then
        mean = math.sqrt(then) * (1 - kept) * clean + math.sqrt(kept) * (1 - then) * x
        return mean / (1 - now), (1 - then) * (1 - kept) / (1 - now)

    def single(x: float, clean: float, now: float, then: float) -> tuple[float, float]:
        return parts(x, clean, now, then)[0], 1 - now / then

    def turned(x: float, clean: float, now: float, then: float) -> tuple[float, float]:
        return parts(clean, x, now, then)

    def deviation(x: float, clean: float, now: float, then: float) -> tuple[float, float]:
        mean, variance = parts(x, clean, now, then)
        return mean, math.sqrt(variance)

    def undivided(x: float, clean: float, now: float, then: float) -> tuple[float, float]:
        mean, variance = parts(x, clean, now, then)
        return mean * (1 - now), variance * (1 - now)

    return judge(
        answer,
        parts,
        [(0.4, 1.5, 0.2, 0.7), (-1.0, 0.3, 0.05, 0.5)],
        parts=["the mean", "the variance"],
        right="At then = 1 the mean is the expected embedding, and the variance zero.",
        mistakes=[
            ("This is the noise that was added between the two times; given both ends less is left.", single),
            ("The expected embedding and the noised one have changed places.", turned),
            ("This is the standard deviation.", deviation),
            ("Both are divided by 1 − ᾱ_t.", undivided),
        ],
    )


def check_two(answer: Callable[[float, float, float], tuple[float, float, float]]) -> Verdict:
    """Check the best prediction for an embedding that is one of two.

    Args:
        answer: A function of x, a and ᾱ; it returns the best prediction, that of (5), and the error of a draw.
    """

    def truth(x: float, a: float, level: float, factor: float = 1.0) -> tuple[float, float, float]:
        best = a * math.tanh(factor * math.sqrt(level) * a * x / (1 - level))
        return best, math.sqrt(level) * a**2 * x / (level * a**2 + 1 - level), 2 * a**2

    return judge(
        answer,
        truth,
        [(0.3, 1.0, 0.5), (-0.2, 2.0, 0.3), (1.0, 0.5, 0.8)],
        parts=["the best prediction", "that of (5)", "the error of a draw"],
        right="The best prediction decides; the linear one cannot.",
        mistakes=[
            ("The odds are those of the whole exponent: with tanh(z) they are exp(2z).",
             lambda x, a, s: truth(x, a, s, 2.0)),
            ("The variance of ±a is a², not a.",
             lambda x, a, s: (truth(x, a, s)[0], math.sqrt(s) * a * x / (s * a + 1 - s), 2 * a**2)),
            ("Two draws agree half of the time: the error is (2a)²/2.",
             lambda x, a, s: (*truth(x, a, s)[:2], 4 * a**2)),
            ("The mean is a² away, and a draw further.", lambda x, a, s: (*truth(x, a, s)[:2], a**2)),
        ],
    )  # fmt: skip
