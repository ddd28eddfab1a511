"""Orchestrator: several agents answer and say how sure they are; their record decides whose answer is taken.

Symbols: ŷ_a is the answer of agent a to an item, s_a the confidence that it states, y the label; on labelled items
n_a(c) counts how often it answered c, and r_a(c) how often it was right when it did.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method

__all__ = ["Orchestrator", "confidence_correlation", "overconfidence_rate", "stated_calibration_error", "trust"]

NEVER = 0.0
"""A threshold that no trust is below: nobody is asked again."""


def stated_calibration_error(confidence: Tensor, right: Tensor, bins: int = 10) -> float:
    """Mean gap between the confidence that an agent states and how often it is right.

    Args:
        confidence: s, (N,), in [0, 1].
        right: Whether each answer is right, (N,).
        bins: Number of bins of equal width; a value on an edge belongs to the lower bin, 0 to the first.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    place = torch.bucketize(confidence.double() - 1e-6, edges)  # right edge included, also where float32 misses it
    gap = torch.bincount(place, confidence.double() - right.double(), minlength=bins)  # n_b (conf_b - right_b)
    return float(gap.abs().sum() / len(right))  # Eq. (1)


def confidence_correlation(confidence: Tensor, right: Tensor) -> float:
    """Pearson's correlation of stated confidence with being right: does the agent know when it knows?

    Args:
        confidence: s, (N,).
        right: Whether each answer is right, (N,).

    Returns:
        A number in [-1, 1]; NaN if either is the same for all items.
    """
    s, r = confidence.double() - confidence.double().mean(), right.double() - right.double().mean()
    return float((s * r).sum() / (s.square().sum() * r.square().sum()).sqrt())  # Eq. (2)


def overconfidence_rate(confidence: Tensor, right: Tensor, threshold: float = 0.8) -> float:
    """Share of all answers that are wrong and stated with a confidence of at least the threshold.

    Args:
        confidence: s, (N,).
        right: Whether each answer is right, (N,).
        threshold: θ.
    """
    return float(((confidence.double() >= threshold - 1e-9) & ~right.bool()).double().mean())  # Eq. (3)


def trust(count: Tensor, hits: Tensor, prior: float) -> Tensor:
    """How much an answer deserves to be believed, from the record of who gives it.

    The share of right answers among those with the same class, drawn towards the agent's share over all classes.

    Args:
        count: n_a(c), (..., K).
        hits: r_a(c), (..., K).
        prior: m, the number of answers that the agent's overall share counts for.
    """
    overall = (hits.sum(-1, keepdim=True) + 1) / (count.sum(-1, keepdim=True) + 2)
    return (hits + prior * overall) / (count + prior)  # Eq. (4)


class Orchestrator(Method):
    """Takes the answer of the agent with the best record for that answer; asks again where no record is good enough.

    Solved on labelled items that neither the agents were trained on nor the result is measured on. Where the items have
    answers from a second round, these have records of their own.

    Args:
        agents: Number of agents A.
        classes: Number of classes K.
        prior: m of (4), positive.
        threshold: τ of (6): items on which the best trust is below it are asked again. None lets :meth:`solve` choose
            it on its items, each judged by a record without itself; it has no effect without a second round.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        Roumeliotis et al. 2025, whose orchestrator is a language model that reads the agents' calibration.
    """

    card = Card(
        name="Orchestrator-Agent Trust",
        family="vision and language",
        paper="roumeliotis2025orchestrator",
        summary="Decides among the answers of several agents by the record of each, and asks again where none is good.",
        inputs=("answers", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "most confident agent", "higher", name="trust-most-confident"),
            Claim("accuracy", "calibrated confidence", "higher", name="trust-calibrated-confidence"),
            Claim("accuracy", "naive Bayes", "higher", name="trust-naive-bayes"),
            Claim("accuracy", "retrieval alone", "higher", name="whole-retrieval-alone"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("agents", "calibration", "confidence", "retrieval", "trust", "ensemble"),
    )

    def __init__(self, agents: int, classes: int, prior: float = 2.0, threshold: float | None = None) -> None:
        super().__init__()
        if agents < 1 or classes < 2:
            raise ValueError(f"agents={agents} and classes={classes}: there must be at least 1 agent and 2 classes.")
        if not prior > 0:
            raise ValueError(f"prior={prior} must be positive: an answer that was never given has no record.")
        self.prior, self.threshold = prior, threshold
        self.count: Tensor
        self.hits: Tensor
        self.gate: Tensor
        # Two rounds: how often each agent gave each answer, and how often it was right.
        self.register_buffer("count", torch.zeros(2, agents, classes, dtype=torch.float64))
        self.register_buffer("hits", torch.zeros(2, agents, classes, dtype=torch.float64))
        self.register_buffer("gate", torch.tensor(NEVER if threshold is None else threshold, dtype=torch.float64))

    def solve(self, dataset: Any) -> Self:
        """Write down the record of each agent, and choose the threshold if it is open.

        Args:
            dataset: Items with ``answers`` (A,) and ``label``; if agents were asked twice, ``again`` (A,) too.

        Raises:
            ValueError: If answers or labels do not fit the numbers of agents and classes.
        """
        batch = read_all(dataset)
        rounds, label = self._rounds(batch), self._checked(batch["label"], "label")
        classes = self.count.shape[-1]
        for at, answers in enumerate(rounds):
            said = F.one_hot(answers, classes).double()  # (N, A, K)
            right = (answers == label[:, None]).double()
            self.count[at], self.hits[at] = said.sum(0), (said * right[..., None]).sum(0)
        if self.threshold is None and len(rounds) == 2:
            # Each item by a record without it: (N, A) in each round.
            own = [self._without(answers, answers == label[:, None], at) for at, answers in enumerate(rounds)]
            right = torch.stack([self._chosen(a, t) == label for a, t in zip(rounds, own, strict=True)])  # (2, N)
            best = own[0].amax(1)
            # Nobody, or all below one of the trusts, or all; of equals the first, which asks least.
            tries = torch.tensor(sorted({NEVER, 2.0, *best.tolist()}), dtype=torch.float64)
            scores = torch.stack([torch.where(best < gate, right[1], right[0]).double().mean() for gate in tries])
            self.gate = tries[scores.argmax()]
        return self

    def _without(self, answers: Tensor, right: Tensor, at: int) -> Tensor:
        """The trust (N, A) in each answer of a round, from the record of all other items."""
        agents = torch.arange(answers.shape[1], device=answers.device)
        count, hits = self.count[at], self.hits[at]  # (A, K)
        overall = (hits.sum(1) - right.double() + 1) / (count.sum(1) + 1)  # (N, A), one answer less
        n = count[agents, answers] - 1
        r = hits[agents, answers] - right.double()
        return (r + self.prior * overall) / (n + self.prior)

    def trusts(self, answers: Tensor, at: int = 0) -> Tensor:
        """The trust (4) in each answer, (B, A).

        Args:
            answers: (B, A).
            at: The round, 0 or 1.
        """
        table = trust(self.count[at], self.hits[at], self.prior)  # (A, K)
        return table[torch.arange(answers.shape[1], device=answers.device), answers]

    @staticmethod
    def _chosen(answers: Tensor, trusts: Tensor) -> Tensor:
        return answers.gather(1, trusts.argmax(1, keepdim=True))[:, 0]  # Eq. (5)

    def asks_again(self, batch: Batch) -> Tensor:
        """Whether each item is asked again, (B,) bool.

        Args:
            batch: As for :meth:`predict`.
        """
        with self.evaluating():
            rounds = self._rounds(batch)
            best = self.trusts(rounds[0]).amax(1)
            return best < self.gate if len(rounds) == 2 else torch.zeros_like(best, dtype=torch.bool)

    def predict(self, batch: Batch) -> Tensor:
        """How much each class is supported, (B, K): the trust in the most trusted agent that says so, made to sum to 1.

        The largest is the answer of (5), from the second round where (6) asks again.

        Args:
            batch: ``answers`` (B, A); with a second round ``again`` (B, A).
        """
        with self.evaluating():
            rounds, again = self._rounds(batch), self.asks_again(batch)
            classes = self.count.shape[-1]
            support = [
                (F.one_hot(answers, classes) * self.trusts(answers, at)[..., None]).amax(1)
                for at, answers in enumerate(rounds)
            ]
            chosen = torch.where(again[:, None], support[-1], support[0])  # Eq. (6)
            return (chosen / chosen.sum(1, keepdim=True)).float()

    def _rounds(self, batch: Batch) -> list[Tensor]:
        return [self._checked(batch[key], key) for key in ("answers", "again") if key in batch]

    def _checked(self, values: Tensor, key: str) -> Tensor:
        _, agents, classes = self.count.shape
        if key != "label" and (values.ndim != 2 or values.shape[1] != agents):
            raise ValueError(f"{key} is {tuple(values.shape)}: expected (B, {agents}), a column for each agent.")
        if len(values) and not bool(((values >= 0) & (values < classes)).all()):
            raise ValueError(
                f"{key} has {int(values.min())} to {int(values.max())}: number the {classes} classes from 0 to "
                f"{classes - 1}, or say classes=."
            )
        return values

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two agents of whom each knows half of the classes, and who are asked twice."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(24) % 4
        guess = torch.randint(4, (24, 2), generator=rng)
        knows = torch.stack([label < 2, label >= 2], 1)
        batch: Batch = {
            "answers": torch.where(knows, label[:, None], guess),
            "again": torch.where(torch.rand(24, 2, generator=rng) < 0.8, label[:, None], guess),
            "label": label,
        }
        return cls.seeded(seed, agents=2, classes=4), batch

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The number of agents; the number of classes cannot be read from one item, and is taken from its answers.

        Raises:
            ValueError: If the data have no answers.
        """
        if "answers" not in item:
            raise ValueError(f"Orchestrator needs answers (A,) of its agents; the data have {', '.join(item)}.")
        return {"agents": len(item["answers"])}
