"""FocusCLIP: beside picture and caption a third view, the picture where somebody looked, pulls at both.

Symbols: x is a picture, h its heat map in [0, 1], α what is left of the picture where the map is 0; r the vector of the
picture so blended, u that of the picture, v that of its caption, (B, D) each.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.contrastive import nt_xent
from mmlab.method import Batch, Method
from mmlab.nn.towers import TwoTowers

__all__ = ["FocusCLIP", "Third", "blend"]

Third = Literal["heat", "plain", "none"]


def blend(x: Tensor, h: Tensor, alpha: float | Tensor) -> Tensor:
    """The region of interest: x where the heat map is 1, and its share α where the map is 0.

    Args:
        x: Pictures (B, 3, S, S) in [-1, 1]; what is taken away becomes grey.
        h: Heat maps (B, 1, S, S) in [0, 1].
        alpha: α.
    """
    return x * (alpha + h * (1 - alpha))  # Eq. (1)


class FocusCLIP(Method):
    """Two towers and a third view in training; with ``third="none"`` it is picture and caption under NT-Xent.

    Args:
        words: Size V of the vocabulary.
        width: Number of features D.
        channels: Maps of the picture tower's first convolution.
        third: ``"heat"`` for the region of interest, ``"plain"`` for the picture with noise, ``"none"`` for no third
            view.
        temperature: τ.
        alpha: α at the start; it is learnt.
        noise: Deviation of the noise of the plain view.

    Raises:
        ValueError: If there is no such view, or a number is out of its range.

    Source:
        Khan et al. 2024; the loss as their code has it.
    """

    card = Card(
        name="FocusCLIP",
        family="contrast",
        paper="khan2024focusclip",
        summary="Adds to picture and caption a third view, the picture where somebody looked, in training alone.",
        inputs=("image", "caption"),
        claims=(
            Claim("R@5", "picture and caption", "higher", name="focus-pair"),
            Claim("R@5", "extra plain view", "higher", kind="sanity", name="focus-plain-view"),
            Claim("R@5", "heat maps of other pictures", "higher", kind="sanity", name="focus-shuffled-heat"),
            Claim("R@5", "picture and caption, twice the steps", "higher", kind="sanity", name="focus-pair-longer"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLIP", "region of interest", "attention map", "SimCLR", "retrieval"),
    )

    def __init__(
        self,
        words: int = 26,
        width: int = 32,
        channels: int = 24,
        third: Third = "heat",
        temperature: float = 0.5,
        alpha: float = 0.5,
        noise: float = 0.3,
    ) -> None:
        super().__init__()
        if third not in get_args(Third) or not temperature > 0 or not 0 < alpha < 1 or noise < 0:
            raise ValueError(
                f"third={third!r}, temperature={temperature}, alpha={alpha}, noise={noise}: the view is heat, plain or "
                "none, the temperature positive, alpha between 0 and 1, and the noise not negative."
            )
        self.third, self.temperature, self.noise = third, temperature, noise
        self.towers = TwoTowers(words, width, channels, patches=True)
        self.towers.log_scale.requires_grad_(False)  # NT-Xent has a fixed temperature
        if third == "heat":
            self.left = nn.Parameter(torch.tensor(math.log(alpha / (1 - alpha))))

    def alpha(self) -> Tensor:
        """α, between 0 and 1; 1 where there is no region of interest."""
        return self.left.sigmoid() if self.third == "heat" else torch.ones(())

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The sum of NT-Xent over all pairs of views.

        Args:
            batch: ``image`` (B, 3, S, S), ``caption`` (B, T), and for the region of interest ``heat`` (B, 1, S, S).
            rng: Draws the noise of the plain view.
        """
        x, v = batch["image"], self.towers.caption(batch["caption"])
        if self.third == "none":
            return {"loss": nt_xent(self.towers.picture(x), v, self.temperature)}
        if self.third == "heat":
            view = blend(x, batch["heat"], self.alpha())
        else:
            view = x + self.noise * torch.randn(x.shape, generator=rng, device=rng.device)
        u, r = self.towers.picture(torch.cat([x, view])).chunk(2)
        pairs = {"view_picture": (r, u), "view_caption": (r, v), "picture_caption": (u, v)}
        each = {name: nt_xent(a, b, self.temperature) for name, (a, b) in pairs.items()}  # Eq. (2)
        return {"loss": torch.stack(list(each.values())).sum(), **each}  # Eq. (3)

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors of picture and caption, (B, 2, D); a heat map is not looked at."""
        with self.evaluating():
            u, v = self.towers.picture(batch["image"]), self.towers.caption(batch["caption"])
        return F.normalize(torch.stack([u, v], 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Without heat maps, an extra plain view."""
        return {} if "heat" in item else {"third": "plain"}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve pictures of noise with captions, and somebody who looks at one corner of each."""
        rng = torch.Generator().manual_seed(seed)
        image = torch.rand(12, 3, 16, 16, generator=rng).repeat(1, 1, 2, 2) * 2 - 1
        heat = torch.zeros(12, 1, 32, 32)
        heat[:, :, :16, :16] = 1
        batch = {"image": image, "caption": torch.randint(0, 20, (12, 5), generator=rng), "heat": heat}
        return cls.seeded(seed, 20, width=16, channels=8, temperature=0.2), batch
