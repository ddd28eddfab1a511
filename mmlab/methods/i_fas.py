"""I-FAS: answer real or forged first and why after it, and weigh the two parts of the answer apart.

Symbols: the first n_J words of an answer are its verdict J, the other n_I its explanation I; l is the cross-entropy of
one word and alpha the weight of the verdict. c_l is the class token after the tower's l-th layer, v its last layer's
patches, q learnt queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.data.chat import IMAGE
from mmlab.method import Batch, Method, Objective
from mmlab.nn.answers import answer_laws, answer_mask
from mmlab.nn.layered_reader import Attention, LayeredReader

__all__ = ["IFAS", "GloballyAwareConnector", "alpha_of", "lopsided", "weight_of"]

Classes = Literal["every", "last", "none"]


def weight_of(alpha: float, judged: float, told: float) -> float:
    """How often a word of the verdict counts, where a word of the explanation counts once.

    Args:
        alpha: Weight of the verdict, below 1.
        judged: Number of the verdict's words, n_J.
        told: Number of the explanation's words, n_I.
    """
    return alpha / (1 - alpha) * told / judged  # Eq. (4)


def alpha_of(weight: float, judged: float, told: float) -> float:
    """The weight of the verdict that lets each of its words count so often; 1 gives the plain loss.

    Args:
        weight: Weight of a word of the verdict, where one of the explanation has 1.
        judged: Number of the verdict's words, n_J.
        told: Number of the explanation's words, n_I.
    """
    return weight * judged / (weight * judged + told)  # Eq. (3)


def lopsided(each: Tensor, judged: Tensor, told: Tensor, alpha: Tensor | float | None) -> Tensor:
    """The loss with the verdict's mean and the explanation's mean weighed apart.

    Args:
        each: Cross-entropy of each word, of any shape.
        judged: Which of them are the verdict, of the same shape.
        told: Which are the explanation.
        alpha: Weight of the verdict; None for the plain mean over all words.
    """
    if alpha is None:
        return (each * (judged | told)).sum() / (judged | told).sum()  # Eq. (1)
    means = [(each * part).sum() / part.sum().clamp(min=1) for part in (judged, told)]
    return alpha * means[0] + (1 - alpha) * means[1]  # Eq. (2)


class GloballyAwareConnector(nn.Module):
    """Queries, among them the class tokens of all layers, that gather from the last layer's patches.

    Args:
        width: Width of the tokens, D.
        layers: Number of the tower's layers, L.
        learnt: Number of queries that are learnt alone, K.
        classes: What is added to L further learnt queries: the class token of every layer, or the last one's L times,
            or none.
        heads: Number of heads.
    """

    pick: Tensor

    def __init__(self, width: int, layers: int, learnt: int = 4, classes: Classes = "every", heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(width**-0.5 * torch.randn(1, learnt + layers, width))
        self.project = nn.Linear(width, width, bias=False)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.among, self.across = Attention(width, heads), Attention(width, heads)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        pick = torch.zeros(learnt + layers, layers)  # which class token is added to which query
        if classes == "every":
            pick[learnt:] = torch.eye(layers)
        elif classes == "last":
            pick[learnt:, -1] = 1
        self.register_buffer("pick", pick, persistent=False)

    def forward(self, states: list[Tensor]) -> Tensor:
        """States after each layer, L times (B, 1 + P, D), to (B, K + L, D)."""
        c = torch.stack([state[:, 0] for state in states], 1)  # (B, L, D)
        x = self.queries + self.pick @ self.project(c)  # Eq. (5)
        normed = self.norms[0](x)
        x = x + self.among(normed, normed)
        x = x + self.across(self.norms[1](x), states[-1][:, 1:])
        made: Tensor = x + self.perceptron(self.norms[2](x))  # Eq. (6)
        return made


class IFAS(Method):
    """Tune a model to give a verdict and then an explanation, with the two weighed apart.

    Args:
        policy: The model: a network with ``logits(batch)``, ``generate(batch, rng)`` and ``image_tokens``, such as
            :class:`mmlab.methods.tinyllava.TinyLLaVA`; or arguments of
            :class:`mmlab.nn.layered_reader.LayeredReader`, which gets a :class:`GloballyAwareConnector`.
        alpha: Weight of the verdict; None for the plain loss.
        verdict: Number of words of the verdict, n_J.
        learnt: Number of the connector's queries that are learnt alone, K.
        classes: What is added to its further queries, see :class:`GloballyAwareConnector`.
        end: Id of the word that ends an answer.
        words: Most words of an answer.

    Raises:
        ValueError: If a number is impossible.

    Source:
        Zhang et al. 2025, "Interpretable Face Anti-Spoofing".
    """

    card = Card(
        name="I-FAS",
        family="vision and language",
        paper="i_fas",
        summary="Tunes a model to say real or forged and then why, with verdict and explanation weighed apart.",
        inputs=("input_ids", "length", "images", "completions"),
        outputs=("tokens",),
        claims=(
            Claim("right verdicts", "plain loss", "higher", name="fas-lopsided-plain"),
            Claim(
                "right verdicts", "plain loss, twice the steps", "higher", kind="sanity", name="fas-lopsided-plain-long"
            ),
            Claim("right verdicts", "verdict alone", "higher", kind="sanity", name="fas-lopsided-verdict"),
            Claim("area under the curve, other domain", "verdict alone", "higher", name="fas-kind-verdict-shift"),
            Claim("right verdicts", "learnt queries alone", "higher", name="fas-connector-queries"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("face anti-spoofing", "lopsided loss", "L-LM", "GAC", "globally aware connector", "explanations"),
    )

    alpha: Tensor | None

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        alpha: float | None = 0.7,
        verdict: int = 1,
        learnt: int = 4,
        classes: Classes = "every",
        end: int = 0,
        words: int = 11,
    ) -> None:
        super().__init__()
        if (alpha is not None and not 0 <= alpha <= 1) or verdict < 1 or words < 1 or learnt < 1:
            raise ValueError(
                f"IFAS: alpha={alpha}, verdict={verdict}, words={words}, learnt={learnt}; alpha is None or from 0 to "
                "1, the others are 1 or more."
            )
        if not isinstance(policy, nn.Module):
            arguments = {"width": 32, "layers": 2, **(policy or {})}
            width, layers = int(arguments["width"]), int(arguments["layers"])
            connector = GloballyAwareConnector(width, layers, learnt, classes)
            policy = LayeredReader(connector, learnt + layers, **arguments)
        self.policy: Any = policy
        self.verdict, self.end, self.words = verdict, end, words
        self.register_buffer("alpha", None if alpha is None else torch.tensor(float(alpha)))

    def objectives(self) -> list[Objective]:
        """One, of the model."""
        return [Objective("", [p for p in self.policy.parameters() if p.requires_grad], self.loss)]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropies of the answers.

        Args:
            batch: Prompts ``input_ids`` (B, T) and ``length`` (B,), ``images`` (B, 1, C, H, W), and ``completions``
                (B, 1, L), the verdict first; what follows an end is left out.
            rng: Not needed.

        Returns:
            Besides ``loss`` the means of its parts, ``judged`` and ``told``.
        """
        answers = batch["completions"]
        laws, mask = answer_laws(self.policy, batch, answers, self.end), answer_mask(answers, self.end)
        each = -laws.gather(-1, answers[..., None])[..., 0]
        first = torch.arange(answers.shape[-1], device=answers.device) < self.verdict
        judged, told = mask & first, mask & ~first
        values = {name: lopsided(each, judged, told, alpha) for name, alpha in (("judged", 1.0), ("told", 0.0))}
        return {"loss": lopsided(each, judged, told, self.alpha), **values}

    def judge(self, batch: Batch) -> Tensor:
        """Probabilities of all words as the first of the answer, (B, V)."""
        with self.evaluating():
            first = torch.zeros_like(batch["input_ids"][:, :1])[:, None]
            return answer_laws(self.policy, batch, first, self.end)[:, 0, 0].exp()

    def generate(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """Write answers (B, T), the most probable words by default; see the policy's ``generate``."""
        with self.evaluating():
            made: Tensor = self.policy.generate(batch, rng, **{"max_new_tokens": self.words, **how})
        return made

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """A small model for pictures of this shape, with room for the words of the book's worlds."""
        return {"policy": {"picture": list(item["images"].shape[1:]), "words": 128}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Eight pictures of noise, each with a verdict of one word and three random words after it."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, {"picture": [3, 8, 8], "width": 16}, words=4)
        return method, {
            "input_ids": torch.tensor([[IMAGE, 3]]).repeat(8, 1),
            "length": torch.full((8,), 2),
            "images": torch.rand(8, 1, 3, 8, 8, generator=rng) * 2 - 1,
            "completions": torch.randint(1, 16, (8, 1, 4), generator=rng),
        }
