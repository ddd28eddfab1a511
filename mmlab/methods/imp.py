"""IMP: one encoder for all modalities, trained on one task after the other, with experts that choose their tokens.

Symbols: x are the tokens of an item; g_te is how much token t is for expert e; k is how many tokens an expert takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.nn.encoders import AttentionBlock
from mmlab.nn.modalities import presence, sorted_shapes
from mmlab.wording import nearest

__all__ = ["IMP", "ExpertChoice", "expert_choice", "to_tokens", "turns_variance"]


def expert_choice(gates: Tensor, capacity: float) -> tuple[Tensor, Tensor]:
    """Each expert takes the k tokens that are most for it: k = capacity · T / E, rounded, at least 1 and at most T.

    Args:
        gates: g (B, T, E), the softmax over experts of each token.
        capacity: How many experts a token has on average.

    Returns:
        Which tokens, (B, E, k), and their gates, (B, E, k).
    """
    tokens, experts = gates.shape[-2:]
    k = min(tokens, max(1, round(capacity * tokens / experts)))
    weight, index = gates.mT.topk(k, dim=-1)  # Eq. (2)
    return index, weight


def turns_variance(means: Tensor, variances: Tensor, batch: int) -> Tensor:
    """Variance of a step that does one task, drawn at random: noise of the batch, and disagreement of the tasks.

    Args:
        means: What the gradient of each task is on average, (N,).
        variances: Variance of a single item's gradient in each task, (N,).
        batch: Items of a step.
    """
    return variances.mean() / batch + means.var(correction=0)  # Eq. (7)


class ExpertChoice(nn.Module):
    """A layer of E perceptrons, of which each takes its share of an item's tokens; other tokens get 0.

    An item's tokens compete with each other only, so that an answer does not depend on the rest of the batch.

    Args:
        width: Width of the tokens D.
        experts: E.
        capacity: How many experts a token has on average; at 1 the layer costs as much as one perceptron.
    """

    def __init__(self, width: int, experts: int = 4, capacity: float = 1.0) -> None:
        super().__init__()
        self.capacity = capacity
        self.router = nn.Linear(width, experts, bias=False)
        spread = width**-0.5
        self.into = nn.Parameter(spread * (2 * torch.rand(experts, width, 2 * width) - 1))
        self.bias = nn.Parameter(torch.zeros(experts, 1, 2 * width))
        self.out = nn.Parameter(spread / 2**0.5 * (2 * torch.rand(experts, 2 * width, width) - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, T, D) to what the experts add to them, (B, T, D)."""
        gates = self.router(x).softmax(-1)  # Eq. (1), (B, T, E)
        index, weight = expert_choice(gates, self.capacity)  # (B, E, k)
        place = F.one_hot(index, x.shape[1]).to(x)  # (B, E, k, T)
        taken = torch.einsum("bekt,btd->bekd", place, x)
        made = F.gelu(torch.einsum("bekd,edh->bekh", taken, self.into) + self.bias)
        made = torch.einsum("bekh,ehd->bekd", made, self.out)
        return torch.einsum("bekt,bek,bekd->btd", place, weight, made)  # Eq. (3)


def to_tokens(x: Tensor, grid: int) -> Tensor:
    """Items as tokens (B, T, C): images (B, C, H, W) in grid x grid patches, sequences as they are, vectors in pieces.

    Sides that the grid does not divide get zeros at their end.

    Args:
        x: Images (B, C, H, W), sequences (B, T, C) or vectors (B, D), which are cut into grid pieces.
        grid: Patches on each side.
    """
    if x.ndim == 3:
        return x
    if x.ndim == 2:
        return F.pad(x, (0, -x.shape[1] % grid)).reshape(len(x), grid, -1)
    high, wide = (-size % grid for size in x.shape[-2:])
    x = F.pad(x, (0, wide, 0, high))
    count, channels, height, width = x.shape
    x = x.reshape(count, channels, grid, height // grid, grid, width // grid)  # (B, C, g, h, g, w)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class IMP(Method):
    """A transformer that reads the tokens of any modality; only the first layer and the heads belong to one.

    There is one task for each modality, to tell the class from it alone, and one for each pair of modalities, to find
    partners by contrast. A step of training does one task, drawn at random.

    The paper's encoder reads images, video, text and sound, and each task has data of its own; here one batch serves
    all. Experts share out the tokens of one item, not those of a batch.

    Args:
        shapes: Shape of one item of each modality: images (C, H, W), sequences (T, C) or vectors (D,).
        classes: Number of classes K.
        width: Width of the tokens D.
        depth: Number of blocks.
        heads: Attention heads.
        experts: E in every second block, beginning with the last; 0 for perceptrons everywhere.
        capacity: How many experts a token has on average.
        grid: Patches on each side of an image, and pieces of a vector.
        temperature: τ of the contrast.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        Akbari et al. 2023; experts that choose: Zhou et al. 2022.
    """

    card = Card(
        name="IMP",
        family="fusion",
        paper="imp",
        summary="One encoder for all modalities, trained on one task per step, with experts that choose their tokens.",
        inputs=("audio", "image", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "summed, large batches", "higher", name="imp-summed-large-batches"),
            Claim("accuracy", "summed, small batches", "higher", kind="sanity", name="imp-summed-small-batches"),
            Claim("accuracy", "summed, features reused", "higher", kind="sanity", name="imp-summed-features-reused"),
            Claim("accuracy", "perceptrons", "higher", name="imp-experts-perceptrons"),
            Claim("accuracy", "an encoder each", "higher", kind="sanity", name="imp-an-encoder-each"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("shared encoder", "multi-task", "mixture of experts", "alternating"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 10,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        experts: int = 4,
        capacity: float = 1.0,
        grid: int = 4,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if min(depth, grid) < 1 or experts < 0 or not capacity > 0:
            raise ValueError(
                f"depth={depth}, grid={grid}, experts={experts}, capacity={capacity}: depth and grid are at least 1, "
                "experts at least 0, and capacity is positive."
            )
        self.shapes, self.grid, self.temperature = sorted_shapes(shapes), grid, temperature
        self.modalities = list(self.shapes)
        self.tasks = self.modalities + ["+".join(pair) for pair in combinations(self.modalities, 2)]
        sizes = {m: to_tokens(torch.zeros(1, *shape), grid).shape[1:] for m, shape in self.shapes.items()}
        self.embed = nn.ModuleDict({m: nn.Linear(size[1], width) for m, size in sizes.items()})
        self.positions = nn.ParameterDict({m: 0.1 * torch.randn(size[0], width) for m, size in sizes.items()})
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(depth))
        if experts:
            for block in self.blocks[::-2]:
                block.perceptron = ExpertChoice(width, experts, capacity)
        self.norm = nn.LayerNorm(width)
        self.answers = nn.ModuleDict({m: nn.Linear(width, classes) for m in self.modalities})
        self.towards = nn.ModuleDict({m: nn.Linear(width, width) for m in self.modalities if len(self.modalities) > 1})

    def embedding(self, batch: Batch, modality: str) -> Tensor:
        """What the shared encoder makes of one modality: (B, *shape) to (B, D).

        Args:
            batch: With that modality; nothing else of it is read.
            modality: Its name.

        Raises:
            ValueError: If there is no such modality, or it has another shape.
        """
        if modality not in self.shapes:
            raise ValueError(f"There is no modality {modality!r}: {nearest(modality, self.shapes)}")
        x, shape = batch[modality], self.shapes[modality]
        if tuple(x.shape[1:]) != shape:
            raise ValueError(
                f"An item of {modality!r} has shape {tuple(x.shape[1:])}, but {shape} was promised: build the method "
                "for the shapes of the items."
            )
        x = torch.where(presence(batch, modality).view(-1, *[1] * len(shape)), x, 0)
        tokens = self.embed[modality](to_tokens(x, self.grid)) + self.positions[modality]  # (B, T, D)
        return self.encode(tokens, modality)

    def encode(self, tokens: Tensor, modality: str) -> Tensor:
        """The encoder, which does not ask for the modality: tokens (B, T, D) to features (B, D); override it."""
        for block in self.blocks:
            tokens = block(tokens, tokens)
        return self.norm(tokens).mean(1)

    def task_loss(self, batch: Batch, task: str) -> Tensor:
        """The loss of one task: a name such as ``"image"``, or a pair such as ``"audio+image"``.

        Items that lack a modality of the task, or the label it needs, do not count.
        """
        names = task.split("+")
        z = [self.embedding(batch, name) for name in names]
        there = [name for name in names if f"{name}_present" in batch]
        if len(names) == 1:
            there += ["label"] if "label_present" in batch else []
        rows = torch.stack([presence(batch, name) for name in there]).all(0) if there else None
        kept = [value if rows is None else value[rows] for value in z]
        if not len(kept[0]):
            return kept[0].sum() * 0
        if len(names) == 1:
            label = batch["label"] if rows is None else batch["label"][rows]
            return F.cross_entropy(self.answers[task](kept[0]), label)  # Eq. (4)
        a, b = (self.towards[name](value) for name, value in zip(names, kept, strict=True))
        return soft_contrastive(a, b, identity_targets(len(a), a), self.temperature)  # Eq. (5)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The loss of one task.

        Args:
            batch: Modalities (B, ...) and ``label`` (B,), each with its mask where items lack it.
            rng: Draws the task.
        """
        task = self.tasks[int(torch.randint(len(self.tasks), (), generator=rng, device=rng.device))]  # Eq. (6)
        return {"loss": self.task_loss(batch, task)}

    def predict(self, batch: Batch, modality: str | None = None) -> Tensor:
        """Class probabilities (B, K).

        Args:
            batch: At least the modalities that answer.
            modality: The one that answers; by default the mean over those of ``batch`` that each item has.

        Raises:
            KeyError: If the batch has no modality that could answer.
            ValueError: If there is no such modality.
        """
        asked = [m for m in self.modalities if m in batch] if modality is None else [modality]
        if not asked:
            raise KeyError(f"The batch has none of the modalities {', '.join(self.modalities)}: give at least one.")
        with self.evaluating():
            each = [(m, self.embedding(batch, m)) for m in asked]
            answers = torch.stack([self.answers[m](z).softmax(-1) for m, z in each])  # (M, B, K)
        weight = torch.stack([presence(batch, m) for m in asked]).to(answers) + 1e-9  # all alike where none is there
        return (weight / weight.sum(0))[..., None].mul(answers).sum(0)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Small pictures and short sequences of three classes, each a pattern in noise."""
        rng = torch.Generator().manual_seed(seed)
        shapes = {"audio": (4, 6), "image": (1, 6, 6)}
        method = cls.seeded(seed, shapes, classes=3, width=16, heads=2, experts=2, grid=2)
        label = torch.arange(24) % 3
        batch: Batch = {"label": label}
        for name, shape in shapes.items():
            patterns = torch.randn(3, prod(shape), generator=rng)
            batch[name] = (patterns[label] + 0.3 * torch.randn(24, prod(shape), generator=rng)).view(24, *shape)
        return method, batch
