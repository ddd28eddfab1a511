"""Many-shot in-context learning: a transformer reads labelled demonstrations and answers questions beside them.

Symbols: a task has classes c with means mu_c; its demonstrations are x_i with labels y_i, its questions x. Sigma_w is
the covariance of the items of a class and Sigma_b that of the means, both the same in all tasks. Nothing is trained at
the test: what a task is about stands in the context alone.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method

__all__ = ["ManyICL", "class_means", "estimated_law", "nearest_mean", "posterior_predictive", "tokens_per_question"]

Order = Literal["causal", "set"]


def class_means(shown: Tensor, said: Tensor, classes: int = 2) -> tuple[Tensor, Tensor]:
    """Means of the demonstrations of each class, (E, K, D), and how many there are, (E, K); 0 where there is none.

    Args:
        shown: Demonstrations, (E, N, D).
        said: Their labels, (E, N).
        classes: K.
    """
    of = F.one_hot(said, classes).to(shown)  # (E, N, K)
    count = of.sum(1)
    return of.mT @ shown / count.clamp(min=1)[..., None], count


def nearest_mean(shown: Tensor, said: Tensor, asked: Tensor, metric: Tensor | None = None, classes: int = 2) -> Tensor:
    """How near each question is to each class mean: minus half the squared distance, (E, Q, K).

    Args:
        shown: Demonstrations, (E, N, D).
        said: Their labels, (E, N).
        asked: Questions, (E, Q, D).
        metric: M, (D, D); None is Euclid's.
        classes: K.
    """
    means, _ = class_means(shown, said, classes)
    gap = asked[:, :, None] - means[:, None]  # (E, Q, K, D)
    turned = gap if metric is None else gap @ metric
    return -(gap * turned).sum(-1) / 2  # Eq. (1), Eq. (2)


def estimated_law(shown: Tensor, said: Tensor, classes: int = 2) -> tuple[Tensor, Tensor]:
    """What is common to all tasks: covariances within classes and between means, from many episodes.

    Args:
        shown: Demonstrations, (E, N, D), every class at least twice.
        said: Their labels, (E, N).
        classes: K.

    Returns:
        Sigma_w and Sigma_b, both (D, D); the means of episodes are noisy, and their noise is taken off Sigma_b.
    """
    means, count = class_means(shown, said, classes)
    rest = shown - means.gather(1, said[..., None].expand_as(shown))
    free = (count - 1).sum()
    within = torch.einsum("eni,enj->ij", rest, rest) / free
    flat = means.flatten(0, 1)
    flat = flat - flat.mean(0)
    noisy = flat.T @ flat / (len(flat) - 1)
    values, axes = torch.linalg.eigh(noisy - within * (1 / count).mean())
    return within, axes * values.clamp(min=1e-3) @ axes.T


def posterior_predictive(
    shown: Tensor, said: Tensor, asked: Tensor, within: Tensor, between: Tensor, classes: int = 2
) -> Tensor:
    """Log-densities (E, Q, K) of questions under each class, given the demonstrations and the law: the best answer.

    Args:
        shown: Demonstrations, (E, N, D), as many of each class.
        said: Their labels, (E, N).
        asked: Questions, (E, Q, D).
        within: Sigma_w.
        between: Sigma_b; the means are drawn around 0.
        classes: K.

    Raises:
        ValueError: If the numbers of demonstrations of the classes differ.
    """
    means, count = class_means(shown, said, classes)
    n = count.flatten()[0]
    if not bool((count == n).all()):
        raise ValueError("posterior_predictive: every class needs as many demonstrations: choose them balanced.")
    gain = between @ torch.linalg.inv(between + within / n) if n else torch.zeros_like(between)
    left = between - gain @ between
    law = within + (left + left.T) / 2
    gap = asked[:, :, None] - (means @ gain.T)[:, None]
    return -(gap @ torch.linalg.inv(law) * gap).sum(-1) / 2 - torch.logdet(law) / 2  # Eq. (3)


def tokens_per_question(shots: int, questions: int, item: float = 1.0) -> float:
    """What is read for one answer, if a call has so many demonstrations and questions.

    Args:
        shots: N.
        questions: Q.
        item: Tokens of a demonstration or question.
    """
    return item * (shots + questions) / questions  # Eq. (6)


class ManyICL(Method):
    """A transformer that learns from other tasks how to use demonstrations.

    Every demonstration is one token, the sum of its features' and its label's; so is every question, whose label is
    blank. Questions look at demonstrations, at themselves and, where a batch says ``together``, at those before.
    There are no positions: order enters by what a demonstration may look at, and nothing else.

    Args:
        features: D.
        ways: Number of classes of a task, K.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Heads of attention; they divide the width.
        order: ``"causal"``, where a demonstration looks at those before, as in a language model; or ``"set"``, where
            it looks at all, and the order does not matter.

    Raises:
        ValueError: If a number is too small, or the heads do not divide the width.

    Source:
        Jiang et al. 2024, whose models are GPT-4o and Gemini 1.5 Pro; trained on tasks as by Garg et al. 2022.
    """

    card = Card(
        name="ManyICL",
        family="vision and language",
        paper="jiang2024manyshot",
        summary="A model learns a new task from many demonstrations in its context, and answers several questions.",
        inputs=("shown", "said", "asked", "right"),
        outputs=("right",),
        claims=(
            Claim("accuracy", "nearest class mean", "higher", kind="sanity", name="icl-nearest-mean"),
            Claim("accuracy", "nearest mean in a learnt metric", "higher", kind="sanity", name="icl-metric"),
            Claim("accuracy", "estimated law", "higher", kind="sanity", name="icl-estimated-law"),
            Claim("accuracy", "logistic regression", "higher", kind="sanity", name="icl-logistic"),
            Claim("accuracy", "discriminant analysis, few", "higher", kind="sanity", name="icl-discriminant"),
            Claim("accuracy", "discriminant analysis, many", "higher", kind="sanity", name="icl-discriminant-many"),
            Claim("accuracy", "shuffled labels", "higher", kind="sanity", name="icl-shuffled-labels"),
            Claim("accuracy", "quarter of the demonstrations", "higher", name="icl-more-shots"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("in-context learning", "few-shot", "demonstrations", "prompt", "GPT-4o", "Gemini", "batching"),
    )

    def __init__(
        self,
        features: int = 8,
        ways: int = 2,
        width: int = 32,
        depth: int = 2,
        heads: int = 2,
        order: Order = "causal",
    ) -> None:
        super().__init__()
        if features < 1 or ways < 2 or depth < 1 or width % heads:
            raise ValueError(
                f"ManyICL: features={features}, ways={ways}, depth={depth}, width={width}, heads={heads}; they "
                "must be at least 1, 2 and 1, and the heads must divide the width."
            )
        self.order = order
        self.item = nn.Linear(features, width)
        self.said = nn.Embedding(ways + 1, width)  # the last one is that of a question
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, ways))

    def forward(self, batch: Batch, shots: Tensor | int | None = None) -> Tensor:
        """Logits of the classes for each question, (E, Q, K).

        Args:
            batch: ``shown`` (E, N, D), ``said`` (E, N), ``asked`` (E, Q, D), and ``together`` (E,) bool, whether
                questions look at those before them; without it, none does.
            shots: How many of the demonstrations a question may look at, a number or (Q,); None for all.
        """
        shown, asked = batch["shown"], batch["asked"]
        blank = torch.full(asked.shape[:2], self.said.num_embeddings - 1, device=asked.device)
        items = self.item(torch.cat([shown, asked], 1))
        z = items + self.said(torch.cat([batch["said"], blank], 1))  # (E, T, W)
        allowed = self._allowed(batch, shots)
        for block in self.blocks:
            z = block(z, allowed)
        logits: Tensor = self.out(z[:, shown.shape[1] :])  # Eq. (4)
        return logits

    def _allowed(self, batch: Batch, shots: Tensor | int | None) -> Tensor:
        """Which token may look at which, (E, 1, T, T)."""
        count, n, q = (batch["shown"].shape[0], batch["shown"].shape[1], batch["asked"].shape[1])
        device = batch["shown"].device
        place = torch.arange(n + q, device=device)
        seen = torch.as_tensor(n if shots is None else shots, device=device).expand(q)
        allowed = torch.zeros(n + q, n + q, dtype=torch.bool, device=device)
        allowed[:n, :n] = True if self.order == "set" else place[:n, None] >= place[None, :n]
        allowed[n:, :n] = place[None, :n] < seen[:, None]
        allowed = (allowed | torch.eye(n + q, dtype=torch.bool, device=device)).repeat(count, 1, 1)
        before = place[:q, None] >= place[None, :q]
        allowed[:, n:, n:] |= before & batch.get("together", torch.zeros(count, dtype=torch.bool))[:, None, None]
        return allowed[:, None]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the questions' labels; different questions look at 2, 4, 8, ... demonstrations.

        Args:
            batch: As for :meth:`forward`, with ``right`` (E, Q). In a set all demonstrations see each other, so that
                there every question looks at all of them, and an episode is cut to one of the numbers.
            rng: Not used.
        """
        n, q = batch["shown"].shape[1], batch["asked"].shape[1]
        powers = [2**k for k in range(1, n.bit_length()) if 2**k <= n]
        if self.order == "causal":
            shots = torch.tensor(powers, device=batch["asked"].device).repeat(q // len(powers) + 1)[:q]
            return {"loss": F.cross_entropy(self(batch, shots).flatten(0, 1), batch["right"].flatten())}  # Eq. (5)
        losses = []
        for place, count in enumerate(powers):  # a share of the episodes for each number
            part = {key: value[place :: len(powers)] for key, value in batch.items()}
            if len(part["right"]):
                part = part | {"shown": part["shown"][:, :count], "said": part["said"][:, :count]}
                made = F.cross_entropy(self(part).flatten(0, 1), part["right"].flatten())
                losses.append(made * len(part["right"]) / len(batch["right"]))
        return {"loss": torch.stack(losses).sum()}

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities of the classes for each question, (E, Q, K).

        Args:
            batch: As for :meth:`forward`.
        """
        with self.evaluating():
            made: Tensor = self(batch).softmax(-1)
        return made

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The number of features of a demonstration.

        Raises:
            ValueError: If the data have no demonstrations.
        """
        if "shown" not in item:
            raise ValueError(
                f"ManyICL needs demonstrations, shown (N, D) and said (N,); the data have {', '.join(item)}."
            )
        return {"features": item["shown"].shape[-1]}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve episodes of two far classes, with four demonstrations and four questions each."""
        rng = torch.Generator().manual_seed(seed)
        means = 2 * torch.randn(12, 2, 3, generator=rng)
        said, label = torch.tensor([0, 1, 1, 0]).repeat(12, 1), torch.randint(2, (12, 4), generator=rng)
        items = [means.gather(1, y[..., None].expand(-1, -1, 3)) for y in (said, label)]
        shown, asked = (x + 0.3 * torch.randn(x.shape, generator=rng) for x in items)
        batch = {"shown": shown, "said": said, "asked": asked, "right": label}
        return cls.seeded(seed, features=3, width=16), batch | {"together": torch.arange(12) % 2 == 0}


class _Block(nn.Module):
    """Attention among the tokens that may be looked at, then a perceptron, both as residuals."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.read = nn.Linear(width, 3 * width, bias=False)
        self.write = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, z: Tensor, allowed: Tensor) -> Tensor:
        count, length, width = z.shape
        parts = self.read(self.norms[0](z)).view(count, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        z = z + self.write(mixed.transpose(1, 2).flatten(2))
        return z + self.perceptron(self.norms[1](z))
