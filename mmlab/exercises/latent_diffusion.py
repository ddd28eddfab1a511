"""Checks of the exercises in the chapter on latent diffusion; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable

from mmlab.exercises.verdict import Verdict, judge

__all__ = ["check_gaussian", "check_size", "check_step"]

Step = Callable[[float, float, float, float, float, float], float]


def check_step(answer: Step) -> Verdict:
    """Check a guided step of DDIM, (7) and (8).

    Args:
        answer: A function of z, both predictions of the noise, g, and ᾱ now and then.
    """

    def moved(z: float, noise: float, now: float, then: float) -> float:
        clean: float = (z - (1 - now) ** 0.5 * noise) / now**0.5
        return float(then**0.5 * clean + (1 - then) ** 0.5 * noise)

    return judge(
        answer,
        lambda z, a, b, g, now, then: moved(z, a + g * (b - a), now, then),
        [(0.7, 0.2, -0.4, 3.0, 0.1, 0.4), (-1.2, 0.5, 0.9, 1.5, 0.3, 0.95), (0.4, -0.3, 0.1, 1.0, 0.05, 0.1)],
        parts=["the next code"],
        right="The start decides the picture: nothing in the step is random.",
        mistakes=[
            ("The two predictions have changed places: begin without the prompt and go beyond it.",
             lambda z, a, b, g, now, then: moved(z, b + g * (a - b), now, then)),
            ("This starts from the prediction with the prompt, so that g = 1 is twice its effect.",
             lambda z, a, b, g, now, then: moved(z, b + g * (b - a), now, then)),
            ("The noise of the new time is missing: this is only its share of the code.",
             lambda z, a, b, g, now, then: then**0.5 * (z - (1 - now) ** 0.5 * (a + g * (b - a))) / now**0.5),
            ("ᾱ is a variance: the code and the noise are multiplied by roots.",
             lambda z, a, b, g, now, then: then * (z - (1 - now) * (a + g * (b - a))) / now
             + (1 - then) * (a + g * (b - a))),
            ("Now and then have changed places.",
             lambda z, a, b, g, now, then: moved(z, a + g * (b - a), then, now)),
        ],
    )  # fmt: skip


def check_size(answer: tuple[float, float]) -> Verdict:
    """Check by what codes are smaller than pictures.

    Args:
        answer: The factor of values, and the factor of pairs of places.
    """
    mistakes: list[tuple[str, tuple[float, float]]] = [
        ("The factor of values leaves out the channels: three colours became four channels.", (64.0, 4096.0)),
        ("This is the inverse: by how much is the code smaller?", (1 / 48, 1 / 4096)),
        ("The pairs go with the square of the number of places.", (48.0, 64.0)),
        ("Pairs of places do not multiply with the channels.", (48.0, 48.0**2)),
    ]
    return judge(
        lambda: answer,
        lambda: (48.0, 4096.0),
        [()],
        parts=["the factor of values", "the factor of pairs"],
        right="Attention is where a small code saves most.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_gaussian(answer: Callable[[float, float, float], tuple[float, float]]) -> Verdict:
    """Check what guidance makes of a Gaussian.

    Args:
        answer: A function of the prompt's mean and variance and of g; it returns mean and variance.
    """

    def truth(m: float, v: float, g: float) -> tuple[float, float]:
        precision = 1 - g + g / v
        return g * m / v / precision, 1 / precision

    return judge(
        answer,
        truth,
        [(1.0, 0.5, 1.0), (1.0, 0.5, 4.0), (-0.7, 0.2, 2.5)],
        parts=["the mean", "the variance"],
        right="At g = 1 it is the prompt's own law; above it the mean overshoots and the variance shrinks.",
        mistakes=[
            ("The unconditional law has the exponent 1 - g, which adds to the precision.",
             lambda m, v, g: (m, v / g)),
            ("The mean is on the line from 0 to m that (7) draws; but a product of Gaussians weighs by precision.",
             lambda m, v, g: (g * m, truth(m, v, g)[1])),
            ("This is the precision; the variance is one over it.",
             lambda m, v, g: (truth(m, v, g)[0], 1 - g + g / v)),
            ("The linear term is g m / v: the v is missing.",
             lambda m, v, g: (g * m * truth(m, v, g)[1], truth(m, v, g)[1])),
        ],
    )  # fmt: skip
