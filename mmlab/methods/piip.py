"""PIIP: the large network reads the small picture, the small network the large one, and they look at each other.

Symbols: branch i has N_i tokens of width d_i; γ and γ' are the gates of what one branch takes from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import AttentionBlock

__all__ = ["PIIP", "Injector", "block_cost", "injector_cost"]


def block_cost(tokens: int, width: int) -> int:
    """Multiplications of one block on N tokens of width d: 8Nd² + 2N²d (its perceptron is twice as wide)."""
    return 8 * tokens * width**2 + 2 * tokens**2 * width  # Eq. (1)


def injector_cost(tokens: int, width: int, others: int, other_width: int) -> int:
    """Multiplications of an injector: N tokens of width d take from M tokens of width d'."""
    narrow = max(1, width // 4)
    reading = others * other_width * width + 2 * others * width**2  # Md'd of the map, and keys and values
    return reading + 2 * tokens * width**2 + 2 * tokens * others * width + 2 * tokens * width * narrow  # Eq. (4)


class Injector(nn.Module):
    """What one branch takes from another: gated cross-attention, then a gated narrow perceptron, both as residuals.

    Both gates begin at zero: at first the branches have nothing to do with each other.

    Args:
        width: Width d of the branch that takes.
        other: Width d' of the one that it takes from.
        heads: Attention heads.
    """

    def __init__(self, width: int, other: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.bridge = nn.Linear(other, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        narrow = max(1, width // 4)
        self.perceptron = nn.Sequential(nn.Linear(width, narrow), nn.GELU(), nn.Linear(narrow, width))
        self.gate = nn.Parameter(torch.zeros(width))
        self.second_gate = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Tokens (B, N, d) that look at (B, M, d'), to (B, N, d)."""
        seen = self.norms[1](self.bridge(other))  # (B, M, d)
        query, key, value = (
            part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2)  # (B, heads, tokens, d / heads)
            for part in (self.query(self.norms[0](x)), self.key(seen), self.value(seen))
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.gate * self.out(mixed)  # Eq. (2)
        return x + self.second_gate * self.perceptron(self.norms[2](x))  # Eq. (3)


class PIIP(Method):
    """Branches of vision transformers, each with its own width and size of picture, that look at each other.

    With one branch it is a plain vision transformer. What branches take from each other is taken after every block, by
    neighbours in the list. The class is read from the mean of each branch's tokens, and the logits are averaged.

    The authors take deformable attention and a convolution in the injector's perceptron; here there is plain
    attention and none. Their branches begin as published networks, here from nothing.

    Args:
        shape: Shape (C, H, W) of a picture.
        classes: Number of classes K.
        branches: Width of each branch, and by how much its picture is reduced on each side.
        depth: Blocks of each branch.
        heads: Attention heads of each branch.
        patch: Side of a patch in pixels, in every branch.

    Raises:
        ValueError: If there is no branch, or a picture cannot be cut into patches.

    Source:
        Zhu et al. 2024.
    """

    card = Card(
        name="PIIP",
        family="fusion",
        paper="piip",
        summary="A large network on the small picture and a small one on the large picture, which look at each other.",
        inputs=("image", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "wide, small picture", "higher", name="piip-wide-small-picture"),
            Claim("accuracy", "narrow, large picture", "higher", name="piip-narrow-large-picture"),
            Claim("accuracy", "wide, large picture", "higher", name="piip-wide-large-picture"),
            Claim("accuracy", "not inverted", "higher", kind="sanity", name="piip-not-inverted"),
            Claim("accuracy", "gates shut", "higher", kind="sanity", name="piip-gates-shut"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("image pyramid", "vision transformer", "efficiency", "resolution", "cross-attention"),
    )

    def __init__(
        self,
        shape: Sequence[int],
        classes: int = 12,
        branches: Sequence[Sequence[int]] = ((32, 2), (16, 1)),
        depth: int = 2,
        heads: int = 2,
        patch: int = 4,
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.patch = tuple(shape), classes, patch
        if len(self.shape) != 3:
            raise ValueError(f"PIIP takes pictures of channels, height and width, not data of shape {list(shape)}.")
        channels, *sides = shape
        self.branches = [(int(width), int(reduction)) for width, reduction in branches]
        if not self.branches:
            raise ValueError("branches is empty: give a width and a reduction for at least one.")
        for _, reduction in self.branches:
            if any(side % (reduction * patch) for side in sides):
                raise ValueError(
                    f"A picture of {sides[0]} x {sides[1]}, reduced {reduction} times, cannot be cut into patches of "
                    f"{patch} pixels: choose a patch or reductions that divide it."
                )
        self.tokens = [
            (sides[0] // (reduction * patch)) * (sides[1] // (reduction * patch)) for _, reduction in self.branches
        ]
        self.embed = nn.ModuleList(nn.Linear(channels * patch**2, width) for width, _ in self.branches)
        self.positions = nn.ParameterList(
            0.1 * torch.randn(count, width) for count, (width, _) in zip(self.tokens, self.branches, strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList(AttentionBlock(width, heads) for width, _ in self.branches) for _ in range(depth)
        )
        neighbours = list(pairwise(width for width, _ in self.branches))
        self.injectors = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList([Injector(one, other, heads), Injector(other, one, heads)]) for one, other in neighbours
            )
            for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width, _ in self.branches)
        self.heads = nn.ModuleList(nn.Linear(width, classes) for width, _ in self.branches)

    def cost(self) -> int:
        """Multiplications for one picture, of everything but normalisations, gates and softmax."""
        total = 0
        for count, (width, _) in zip(self.tokens, self.branches, strict=True):
            total += count * width * self.shape[0] * self.patch**2 + width * self.classes
            total += len(self.blocks) * block_cost(count, width)
        sides = list(zip(self.tokens, (width for width, _ in self.branches), strict=True))
        for one, other in pairwise(sides):
            total += len(self.blocks) * (injector_cost(*one, *other) + injector_cost(*other, *one))
        return total

    def logits(self, batch: Batch) -> Tensor:
        """Class logits of each branch, (B, branches, K).

        Args:
            batch: With ``image`` (B, C, H, W).

        Raises:
            ValueError: If the images have another shape.
        """
        image = batch["image"]
        if tuple(image.shape[1:]) != self.shape:
            raise ValueError(
                f"An image has shape {tuple(image.shape[1:])}, but {self.shape} was promised: build the method for the "
                "shape of the images."
            )
        x = []
        for (_, reduction), embed, position in zip(self.branches, self.embed, self.positions, strict=True):
            small = F.avg_pool2d(image, reduction) if reduction > 1 else image
            patches = small.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)  # (B, C, h, w, p, p)
            x.append(embed(patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)) + position)  # (B, N, d)
        stages: Any = zip(self.blocks, self.injectors, strict=True)
        for blocks, injectors in stages:
            x = [block(tokens, tokens) for block, tokens in zip(blocks, x, strict=True)]
            for i, (into_one, into_other) in enumerate(injectors):
                x[i], x[i + 1] = into_one(x[i], x[i + 1]), into_other(x[i + 1], x[i])
        read = zip(self.heads, self.norms, x, strict=True)
        return torch.stack([head(norm(tokens).mean(1)) for head, norm, tokens in read], 1)  # Eq. (5)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the averaged logits.

        Args:
            batch: ``image`` (B, C, H, W) and ``label`` (B,).
            rng: Not used.
        """
        return {"loss": F.cross_entropy(self.logits(batch).mean(1), batch["label"])}

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K) of images (B, C, H, W)."""
        with self.evaluating():
            return self.logits(batch).mean(1).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Small pictures of three classes, each a pattern in noise."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, (1, 8, 8), classes=3, branches=((8, 2), (4, 1)), patch=2)
        label = torch.arange(24) % 3
        patterns = torch.randn(3, 1, 8, 8, generator=rng)
        return method, {"image": patterns[label] + 0.3 * torch.randn(24, 1, 8, 8, generator=rng), "label": label}
