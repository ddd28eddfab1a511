"""Pictures of a coarse shape with a texture of single pixels: halve the size, and the texture is gone exactly.

A picture of side S is

    x = a · shape_c(turned round to the position p) + b · s · texture_k + noise,

with one of four shapes at one of 16 positions, one of three textures with a random sign s, and white noise of
deviation 1. Shapes vary over many pixels. Textures (rows, columns, a chess board) change from each pixel to the next,
so that the mean of any 2 x 2 pixels holds nothing of them. The class is the pair of shape and texture, one of twelve.

Given the class, a picture is a mixture of 32 Gaussians, so the posterior of any picture is known, and so is that of a
picture of half the size: there the three textures stay equally probable.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["SHAPES", "TEXTURES", "ShapeTextureWorld", "shape_texture_world"]

SHAPES = ("disc", "ring", "cross", "corner")
TEXTURES = ("rows", "columns", "chess board")
_PLACES = 16


@dataclass(frozen=True, eq=False)
class ShapeTextureWorld:
    """The law of the pictures: :meth:`draw` asks it for some as often as one likes.

    Attributes:
        shapes: Each shape at each position, (4, 16, S, S), times a.
        textures: Each texture, (3, S, S), times b.
    """

    shapes: Tensor
    textures: Tensor

    @property
    def pairs(self) -> TensorData:
        """A thousand pictures, the same ones each time: what ``mmlab train`` takes."""
        return self.draw(1000, seed=0)

    def draw(self, count: int, seed: int = 0) -> TensorData:
        """Pictures with their class.

        Args:
            count: Number of pictures N.
            seed: Their seed.

        Returns:
            ``image`` (N, 1, S, S), ``label`` (N,) from 0 to 11: three times the shape, plus the texture.
        """
        require_at_least(count=(count, 1))
        rng = torch.Generator().manual_seed(seed)
        label = torch.randint(len(SHAPES) * len(TEXTURES), (count,), generator=rng)
        place = torch.randint(_PLACES, (count,), generator=rng)
        sign = 2.0 * torch.randint(2, (count, 1, 1), generator=rng) - 1
        shape = self.shapes[label.div(len(TEXTURES), rounding_mode="floor"), place]
        noise = torch.randn(shape.shape, generator=rng)
        image = shape + sign * self.textures[label % len(TEXTURES)] + noise
        return TensorData({"image": image[:, None], "label": label})

    def posterior(self, image: Tensor, reduction: int = 1) -> Tensor:
        """Exact class probabilities of pictures, or of what is left of them at a smaller size.

        Args:
            image: (N, 1, S, S).
            reduction: The posterior is that given the means of squares of so many pixels on a side.

        Returns:
            (N, 12).
        """
        x, shapes, textures = (self._smaller(part, reduction) for part in (image, self.shapes, self.textures))
        signed = torch.stack([textures, -textures], 1)  # (3, 2, s, s)
        means = (shapes[:, None, :, None] + signed[None, :, None]).flatten(0, 1).flatten(1, 2)  # (12, 32, s, s)
        means, x = means.flatten(2).double(), x.flatten(1).double()
        # white noise of deviation 1 has 1 / reduction in such a mean
        fit = torch.einsum("nd,ckd->nck", x, means) - means.square().sum(-1) / 2
        return (fit * reduction**2).logsumexp(-1).softmax(-1).float()

    def bayes_rate(self, reduction: int = 1, draws: int = 4000) -> float:
        """Accuracy of the best classifier at this size, estimated by its mean confidence over fresh pictures."""
        image = self.draw(draws, seed=987_654_321).tensors["image"]
        return float(self.posterior(image, reduction).amax(-1).mean())

    @staticmethod
    def _smaller(x: Tensor, reduction: int) -> Tensor:
        if reduction == 1:
            return x
        return F.avg_pool2d(x.reshape(-1, 1, *x.shape[-2:]), reduction).reshape(
            *x.shape[:-2], *(side // reduction for side in x.shape[-2:])
        )


def shape_texture_world(side: int = 16, shape: float = 1.0, texture: float = 0.35) -> ShapeTextureWorld:
    """Make a world. The same arguments make the same world.

    Args:
        side: S, a multiple of 4.
        shape: a, what a pixel inside a shape is above one outside.
        texture: b, how far a texture goes up and down.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if side < 8 or side % 4 or not shape > 0 or not texture > 0:
        raise ValueError(
            f"side={side}, shape={shape}, texture={texture}: the side is a multiple of 4 from 8 on, and the others are "
            "positive."
        )
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    radius = (x.square() + y.square()).sqrt()
    drawn = torch.stack(
        [
            radius < 0.5,
            (radius > 0.4) & (radius < 0.7),
            ((x.abs() < 0.2) | (y.abs() < 0.2)) & (radius < 0.8),
            ((x < -0.15) | (y < -0.15)) & (x.abs() < 0.6) & (y.abs() < 0.6),
        ]
    ).float()
    drawn = drawn - drawn.mean((1, 2), keepdim=True)
    shifts = [(dy * side // 4, dx * side // 4) for dy in range(4) for dx in range(4)]
    shapes = torch.stack([drawn.roll(shift, (1, 2)) for shift in shifts], 1)
    row = torch.tensor([1.0, -1.0]).repeat(side // 2)
    textures = torch.stack([row[:, None].expand(side, side), row.expand(side, side), row[:, None] * row])
    return ShapeTextureWorld(shape * shapes, texture * textures)
