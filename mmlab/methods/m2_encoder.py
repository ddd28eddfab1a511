"""M2-Encoder: the contrast of a large batch within groups of it, at two depths, for captions in two languages.

Symbols: B pairs of pictures and captions in G groups of n = B/G neighbours; u_i and v_i the vectors (D) of pair i; s
the scale 1/τ of a depth. A group stands for the devices that exchange their vectors.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.big_batch import grouped_contrast, in_pieces
from mmlab.method import Batch, Method
from mmlab.nn.towers import TwoTowers

__all__ = ["M2Encoder", "comparisons", "in_language"]


def comparisons(batch: int, groups: int) -> tuple[int, int]:
    """Similarities of one batch, B²/G, and negatives of one item in one direction, B/G - 1.

    Args:
        batch: B.
        groups: G, which divides B.
    """
    return batch * batch // groups, batch // groups - 1  # Eq. (3)


def in_language(tokens: Tensor, language: int | Tensor, words: int) -> Tensor:
    """The same captions with the words of a language: each has a token of its own for each word.

    Args:
        tokens: Captions (N, T) in the first language, from 0 to V - 1.
        language: Number of the language, from 0 on, one for all or one for each caption (N,).
        words: V, the words of one language.
    """
    shift = torch.as_tensor(language, device=tokens.device) * words
    return tokens + (shift[:, None] if shift.ndim else shift)


class M2Encoder(Method):
    """Two towers, a block that both modalities share, and a pair of heads with a scale after it, or before it, too.

    Args:
        words: Size V of the vocabulary, over all languages.
        width: Number of features D.
        channels: Maps of the picture tower's first convolution.
        groups: G; a batch that it does not divide is refused. With 1 it is CLIP's loss.
        depths: 1 for a contrast after the shared block, 2 for one before it, too.
        piece: Items that are encoded at once; the others wait, and the gradients are the same. 0 for the whole batch.
        temperature: τ of all scales at the start; they are learnt, and 1/τ is never more than 100.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        Guo et al. 2024; the loss from its description, since the training code is not released.
    """

    card = Card(
        name="M2-Encoder",
        family="contrast",
        paper="guo2024m2encoder",
        summary="Compares the pairs of a large batch within groups only, so that neither memory nor exchange grows.",
        inputs=("image", "caption"),
        claims=(
            Claim("R@5", "small batch, same steps", "higher", kind="sanity", name="m2-small-steps"),
            Claim("R@5", "small batch, same pictures", "higher", kind="sanity", name="m2-small-pictures"),
            Claim("R@5", "one group", "higher", kind="sanity", name="m2-whole"),
            Claim("R@5", "as many negatives without groups", "higher", kind="sanity", name="m2-ring"),
            Claim("R@5", "groups without accumulation", "higher", name="m2-accumulated"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLIP", "large batches", "negatives", "gradient caching", "bilingual", "retrieval"),
    )

    def __init__(
        self,
        words: int = 26,
        width: int = 32,
        channels: int = 16,
        groups: int = 8,
        depths: int = 1,
        piece: int = 0,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if groups < 1 or depths not in (1, 2) or piece < 0 or not temperature > 0:
            raise ValueError(
                f"groups={groups}, depths={depths}, piece={piece}, temperature={temperature}: there is a group, one "
                "depth or two, a piece is not negative, and the temperature is positive."
            )
        self.groups, self.depths, self.piece = groups, depths, piece
        self.towers = TwoTowers(words, width, channels, temperature, patches=True)
        self.towers.log_scale.requires_grad_(False)  # each depth has its own
        self.shared = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.picture_heads, self.caption_heads = (
            nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depths)) for _ in range(2)
        )
        self.log_scales = nn.Parameter(torch.full((depths,), -math.log(temperature)))

    def scales(self) -> Tensor:
        """1/τ of each depth, at most 100."""
        return self.log_scales.clamp(max=math.log(100)).exp()

    def pictures(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) to the vectors of all depths, (B, depths, D); the last one is the deepest."""
        return self._heads(self.towers.picture(x), self.picture_heads)

    def captions(self, tokens: Tensor) -> Tensor:
        """Captions (B, T) to the vectors of all depths, (B, depths, D)."""
        return self._heads(self.towers.caption(tokens), self.caption_heads)

    def _heads(self, x: Tensor, heads: nn.ModuleList) -> Tensor:
        deep = x + self.shared(x)
        return torch.stack([head(at) for head, at in zip(heads, [x, deep][-self.depths :], strict=True)], 1)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The grouped contrast, mean over the depths.

        Args:
            batch: ``image`` (B, 3, S, S) and ``caption`` (B, T); neighbours are in one group.
            rng: Not used.
        """
        x, y = batch["image"], batch["caption"]
        size = self.piece or len(x)
        if size < len(x):
            u, v = in_pieces(self.pictures, x, size=size), in_pieces(self.captions, y, size=size)  # Eq. (4)
        else:
            u, v = self.pictures(x), self.captions(y)
        groups = self.groups if len(x) > 1 else 1
        each = [
            grouped_contrast(u[:, d], v[:, d], s, groups)  # Eq. (1), Eq. (2)
            for d, s in enumerate(self.scales())
        ]
        return {"loss": torch.stack(each).mean()}

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors of picture and caption at the last depth, (B, 2, D)."""
        with self.evaluating():
            u, v = self.pictures(batch["image"])[:, -1], self.captions(batch["caption"])[:, -1]
        return F.normalize(torch.stack([u, v], 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """One group, whatever the size of a batch will be."""
        return {"groups": 1}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve pictures of noise with captions in two languages, in two groups."""
        rng = torch.Generator().manual_seed(seed)
        image = torch.rand(12, 3, 16, 16, generator=rng).repeat(1, 1, 2, 2) * 2 - 1
        captions = torch.randint(0, 20, (12, 5), generator=rng)
        captions = in_language(captions, torch.arange(12) % 2, 20)
        return cls.seeded(seed, 40, width=16, channels=8, groups=2, depths=2), {"image": image, "caption": captions}
