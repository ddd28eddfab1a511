"""Two towers: a picture and a caption, each to a vector, which are compared by their cosine.

The towers return vectors as they are. What compares them normalises them
(:func:`mmlab.losses.contrastive.soft_contrastive`, :func:`mmlab.losses.contrastive.cosine_similarity`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["CaptionTower", "PatchTower", "PictureTower", "TwoTowers"]


class PictureTower(nn.Module):
    """Three convolutions, each of which halves the sides, and two linear maps; places are kept.

    Args:
        width: Number of features D.
        channels: Maps of the first convolution; the next two have twice and four times as many.
        side: Height and width of the pictures, in pixels; a multiple of 8.
    """

    def __init__(self, width: int = 64, channels: int = 16, side: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, channels), (channels, 2 * channels), (2 * channels, 4 * channels)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
        self.maps = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(4 * channels * (side // 8) ** 2, 2 * width), nn.LayerNorm(2 * width))
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) to vectors (B, D)."""
        made: Tensor = self.out(self.hidden(self.maps(x)))
        return made


class PatchTower(nn.Module):
    """The cheap one: two convolutions that do not overlap, of 4 x 4 pixels and of 2 x 2 of their maps.

    Args:
        width: Number of features D.
        channels: Maps of the first convolution; the second has twice as many.
        side: Height and width of the pictures, in pixels; a multiple of 8.
    """

    def __init__(self, width: int = 32, channels: int = 24, side: int = 32) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, channels, 4, stride=4), nn.ReLU(), nn.Conv2d(channels, 2 * channels, 2, stride=2), nn.ReLU()
        )
        self.hidden = nn.Sequential(nn.Linear(2 * channels * (side // 8) ** 2, 2 * width), nn.LayerNorm(2 * width))
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) to vectors (B, D)."""
        made: Tensor = self.out(self.hidden(self.maps(x).flatten(1)))
        return made


class CaptionTower(nn.Module):
    """The mean of the words' vectors through a perceptron: the order of the words is not read.

    Args:
        words: Size V of the vocabulary.
        width: Number of features D.
    """

    def __init__(self, words: int, width: int = 64) -> None:
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.hidden = nn.Sequential(nn.Linear(width, 2 * width), nn.LayerNorm(2 * width))
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Captions (B, T) of tokens to vectors (B, D)."""
        made: Tensor = self.out(self.hidden(self.table(tokens).mean(1)))
        return made


class TwoTowers(nn.Module):
    """A tower for pictures, one for captions, and the learnt scale of their cosines.

    Args:
        words: Size V of the vocabulary.
        width: Number of features D.
        channels: Maps of the picture tower's first convolution.
        temperature: τ at the start; the scale 1/τ is learnt, and never more than 100.
        patches: Whether the picture tower is a :class:`PatchTower`.
    """

    def __init__(
        self, words: int, width: int = 64, channels: int = 16, temperature: float = 0.07, patches: bool = False
    ) -> None:
        super().__init__()
        self.picture = PatchTower(width, channels) if patches else PictureTower(width, channels)
        self.caption = CaptionTower(words, width)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def scale(self) -> Tensor:
        """1/τ, at most 100: the clamp of CLIP."""
        return self.log_scale.clamp(max=math.log(100)).exp()
