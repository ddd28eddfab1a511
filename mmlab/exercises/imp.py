"""Checks of the exercises in the chapter on IMP; equation numbers are the chapter's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmlab.exercises.verdict import Mistake, Verdict, judge
from mmlab.methods.imp import turns_variance

__all__ = ["check_choose", "check_cost", "check_noise"]

Experts = Sequence[Callable[[Tensor], Tensor]]


def _times(x: Tensor, matrix: Tensor) -> Tensor:
    return (x @ matrix).tanh()


def check_choose(answer: Callable[[Tensor, Tensor, float, Experts], Tensor]) -> Verdict:
    """Check a layer of experts that choose their tokens, equations (1) to (3).

    Args:
        answer: A function of tokens (T, D), router (E, D), capacity and E functions, to tokens (T, D).
    """

    def layer(
        x: Tensor, router: Tensor, capacity: float, experts: Experts,
        *, over: int = 1, gated: bool = True, crowd: bool = False, per: int = 1, added: bool = True,
    ) -> Tensor:  # fmt: skip
        g = (x @ router.T).softmax(over)
        k = round(capacity * len(x) / (1 if crowd else len(experts)))
        y = torch.zeros_like(x)
        if not per:  # tokens choose their expert
            best = g.argmax(1)
            return torch.stack([g[t, e] * experts[int(e)](x[t : t + 1])[0] for t, e in enumerate(best)])
        for e, expert in enumerate(experts):
            taken = g[:, e].topk(min(k, len(x))).indices
            made = (g[taken, e, None] if gated else 1) * expert(x[taken])
            y[taken] = y[taken] + made if added else made
        return y

    mistakes: list[Mistake] = [
        ("The softmax (1) is over experts, not over tokens.", partial(layer, over=0)),
        ("What an expert makes is weighted by the gate, as in (3).", partial(layer, gated=False)),
        ("Each token chose its expert: by (2) each expert chooses its tokens.", partial(layer, per=0)),
        ("Each expert took c · T tokens: divide by the number of experts.", partial(layer, crowd=True)),
        ("A token that several experts took gets the sum: do not write over what the others made.",
         partial(layer, added=False)),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    cases = []
    for tokens, count, capacity in ((12, 3, 1.0), (16, 4, 0.5)):
        matrices = torch.randn(count, 5, 5, generator=rng)
        experts = [partial(_times, matrix=matrix) for matrix in matrices]
        cases.append((torch.randn(tokens, 5, generator=rng), torch.randn(count, 5, generator=rng), capacity, experts))
    return judge(
        answer,
        layer,
        cases,
        parts=["the tokens"],
        right="Every expert has the same load, whatever the router says.",
        mistakes=mistakes,
    )


def check_cost(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check the passes of three schedules: three modalities, 32 items for each of six tasks.

    Args:
        answer: The passes of a circle of turns, of a step of the sum, and of one that uses features again.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("A task of a pair sends both modalities of an item through the encoder.", (192, None, None)),
        ("A circle has six turns: three of one modality and three pairs.", (96, None, None)),
        ("A step of the sum does all six tasks.", (None, 48, None)),
        ("The pairs of a step of the sum cost two passes per item, too.", (None, 192, None)),
        ("Used again, each of the 32 items goes through once for each of three modalities.", (None, None, 32)),
        ("With features used again, the pairs cost nothing more.", (None, None, 288)),
    ]
    return judge(
        lambda: answer,
        lambda: (288, 288, 96),
        [()],
        parts=["the circle", "the step of the sum", "the step that uses features again"],
        right="A circle of turns and a step of the sum cost the same: six steps against one.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_noise(answer: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]) -> Verdict:
    """Check both variances around (7).

    Args:
        answer: A function of means (N,), variances (N,) and b, to the variance of turns and that of small batches.
    """

    def truth(means: Tensor, variances: Tensor, b: int) -> tuple[Tensor, Tensor]:
        return turns_variance(means, variances, b), variances.mean() / b

    def sample(means: Tensor, variances: Tensor, b: int) -> tuple[Tensor, Tensor]:
        return variances.mean() / b + means.var(), variances.mean() / b

    def shrunk(means: Tensor, variances: Tensor, b: int) -> tuple[Tensor, Tensor]:
        return (variances.mean() + means.var(correction=0)) / b, variances.mean() / b

    def large(means: Tensor, variances: Tensor, b: int) -> tuple[Tensor, Tensor]:
        return truth(means, variances, b)[0], variances.mean() / b / len(means)

    def within(means: Tensor, variances: Tensor, b: int) -> tuple[Tensor, Tensor]:
        return variances.mean() / b, variances.mean() / b

    mistakes: list[Mistake] = [
        ("The task is drawn from all N with equal chance: their variance divides by N, not by N - 1.", sample),
        ("The disagreement of tasks does not shrink with b: all items of a step have the same task.", shrunk),
        ("With b/N items for each task, a task's gradient has the variance σ²N/b: N cancels once.", large),
        ("In turns the step also varies because tasks differ: add the variance of their means.", within),
    ]
    rng = torch.Generator().manual_seed(0)
    cases = [(torch.randn(n, generator=rng), torch.rand(n, generator=rng) + 0.5, b) for n, b in ((3, 8), (5, 20))]
    return judge(
        answer,
        truth,
        cases,
        parts=["the variance of turns", "that of small batches"],
        right="At equal cost and equally many steps, turns are the noisier ones.",
        mistakes=mistakes,
    )
