"""Features of pictures from a small convolutional network, and how far apart two pictures are in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["PictureFeatures", "feature_distance"]


class PictureFeatures(nn.Module):
    """Stages of a convolution of stride 2, group normalisation and SiLU; what each puts out is a map of features.

    Args:
        channels: Channels of the pictures.
        widths: Channels of the maps, one number for each stage; multiples of 4.
    """

    def __init__(self, channels: int = 3, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.SiLU())
            for before, after in pairwise([channels, *widths])
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Maps of pictures (B, C, H, W), one for each stage: (B, widths[i], H / 2^(i+1), W / 2^(i+1))."""
        maps = []
        for stage in self.stages:
            pictures = stage(pictures)
            maps.append(pictures)
        return maps


def feature_distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Squared distance between unit vectors of features, averaged over places and added up over the maps: (B,).

    It is that of LPIPS without the weights of its channels, which were fitted to what people said.

    Args:
        one: Maps (B, C, H, W), as :class:`PictureFeatures` gives them.
        other: Maps of the same shapes.

    Source:
        Zhang, Isola, Efros, Shechtman, Wang 2018, Eq. (1).
    """
    distances = [
        (nn.functional.normalize(a, dim=1) - nn.functional.normalize(b, dim=1)).square().sum(1).mean((1, 2))
        for a, b in zip(one, other, strict=True)
    ]
    return torch.stack(distances).sum(0)
