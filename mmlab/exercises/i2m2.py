"""Checks of the exercises in the chapter on I2M2; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.i2m2 import posterior

__all__ = ["check_product", "check_twice", "check_two_tests"]


def check_two_tests(answer: tuple[Any, Any]) -> Verdict:
    """Check the product of two posteriors of 0.5 for a disease with prior 0.1, as published and corrected.

    Args:
        answer: The two probabilities of disease, in this order, to within 0.01.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None]]] = [
        ("The two are swapped: the published product knows nothing of the prior.", (0.9, 0.5)),
        ("The first is not normalised: $0.5 · 0.5$ belongs to each of the two classes, so divide by their sum.",
         (0.25, None)),
        ("In the second you multiplied by the prior once more: each posterior holds it already, so one of two "
         "priors must be divided out.", (None, 0.1)),
        ("In the second you divided by the prior twice: with two experts, one prior too many has been multiplied in.",
         (None, 81 / 82)),
        ("For the second, each test has raised the odds from $1 : 9$ to $1 : 1$. Two of them raise the odds twice.",
         (None, 0.5)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.5, 0.9),
        [()],
        parts=["the published product", "the corrected product"],
        right="Each test raises the odds ninefold, and two of them together take 1 : 9 to 9 : 1.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.01,
    )


def check_product(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the product of experts (2), with experts that may be absent.

    Args:
        answer: A function of logits (B, E, K), presence (B, E) and prior (K,); it returns log-probabilities (B, K).
    """

    def truth(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        return posterior(logits, prior, present)

    def mixture(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        weight = present / present.sum(1, keepdim=True)
        return (weight[:, :, None] * logits.softmax(-1)).sum(1).log()

    def everybody(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        return posterior(logits, prior)

    def published(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        return posterior(logits, torch.ones_like(prior) / len(prior), present)

    def divided(count: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Divide by the prior as often as there are experts, present ones or all, and then ``count`` times more."""

        def wrong(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
            return (truth(logits, present, prior) + count * prior.log()).log_softmax(-1)

        return wrong

    def always_all(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        said = (logits.log_softmax(-1) * present[:, :, None]).sum(1)
        return (said - (logits.shape[1] - 1) * prior.log()).log_softmax(-1)

    def unnormalised(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        return ((logits.log_softmax(-1) - prior.log()) * present[:, :, None]).sum(1) + prior.log()

    def probabilities(logits: Tensor, present: Tensor, prior: Tensor) -> Tensor:
        return truth(logits, present, prior).exp()

    mistakes: list[Mistake] = [
        ("This is the mixture, the mean of the probabilities: multiply them, that is, add the log-probabilities.",
         mixture),
        ("An absent expert must leave the product: put a zero in the place of what it adds.", everybody),
        ("This is the published product: divide each expert by the prior.", published),
        ("The prior itself is missing: every expert is divided by it, and once it must stand.", divided(-1)),
        ("The prior stands there twice.", divided(1)),
        ("You divide by the prior once for each expert, whether it is there or not: count those that are present.",
         always_all),
        ("All is right but for the sum: subtract the logarithm of the sum over the classes.", unnormalised),
        ("These are probabilities: leave out the last exponential.", probabilities),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for experts, classes in ((2, 3), (3, 4)):
        logits = torch.randn(6, experts, classes, generator=rng)
        present = torch.rand(6, experts, generator=rng) < 0.6
        present[:, 0] = True
        cases.append((logits, present, torch.randn(classes, generator=rng).softmax(-1)))
    return judge(
        answer,
        truth,
        cases,
        parts=["the log of the product"],
        right="Your product agrees with the package, with experts present and absent.",
        mistakes=mistakes,
    )


def check_twice(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check what frozen experts make of one piece of evidence that all of them have seen, to three decimals.

    Args:
        answer: The true probability, that of the product of two experts, and that of all three.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("For the truth you took the product: where pairs occur, both bits are the same, so there is one piece of "
         "evidence.", (0.9412, None, None)),
        ("For the truth you left the selection out: it does not matter here, but the second bit does.",
         (0.5, None, None)),
        ("x says nothing on its own, but among pairs that occurred it is the same as x'.", (None, 0.8, None)),
        ("The product must be normalised over both classes.", (None, 0.64, None)),
        ("The joint expert counts the evidence a third time.", (None, None, 0.9412)),
        ("The product of three must be normalised over both classes.", (None, None, 0.512)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (0.8, 0.941176, 0.984615),
        [()],
        parts=["the truth", "the product of two", "the product of three"],
        right="One piece of evidence, counted once, twice and three times.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
        tolerance=0.0005,
    )
