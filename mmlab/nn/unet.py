"""A small U-Net for images, conditioned on time; the output starts at zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlab.nn.time import TimeEmbedding

__all__ = ["LARGEST_ATTENTION", "LARGE_IMAGE", "ResidualBlock2d", "SelfAttention2d", "UNet"]

LARGEST_ATTENTION = 32 * 32
"""Most tokens that self-attention is given: a map over T tokens costs T² numbers per head and image."""

LARGE_IMAGE = 128 * 128
"""From so many pixels on, a batch without gradients is computed image by image on a CPU: it would leave the cache, and
take up to twice as long (``benchmarks/unet_speed.py``)."""


class ResidualBlock2d(nn.Module):
    """Two 3x3 convolutions with group normalisation; the second one is scaled and shifted by the condition (FiLM).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        condition_width: Length of the condition.
        dropout: Dropout probability.
    """

    def __init__(self, inputs: int, outputs: int, condition_width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(condition_width, 2 * outputs)
        self.norm2 = nn.GroupNorm(_groups(outputs), outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))  # the block starts as its shortcut
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Transform images (B, C, H, W) under conditions (B, condition_width)."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        hidden = F.silu(self.norm2(hidden) * (1 + scale) + shift)
        return self.shortcut(x) + self.conv2(self.dropout(hidden))


class SelfAttention2d(nn.Module):
    """Self-attention over the pixels of a small image, as a residual.

    Args:
        channels: Channels C, a multiple of the number of heads.
        heads: Number of attention heads.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.output = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend among the H·W pixels of images (B, C, H, W).

        Raises:
            ValueError: If there are more than :data:`LARGEST_ATTENTION` pixels.
        """
        if x[0, 0].numel() > LARGEST_ATTENTION:
            raise ValueError(
                f"Attention over {x.shape[2]} x {x.shape[3]} pixels is refused: build the U-Net with attention=False "
                f"or with one more level, so that at most {LARGEST_ATTENTION} pixels are left in the middle."
            )
        tokens = self.query_key_value(self.norm(x)).flatten(2)  # (B, 3C, T)
        query, key, value = (
            part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in tokens.chunk(3, dim=1)
        )  # (B, heads, T, C/heads) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.output(mixed.transpose(2, 3).flatten(1, 2).view_as(x))


class UNet(nn.Module):
    """Encoder and decoder over halved resolutions, joined by skip connections.

    Attention stands in the middle only, where at most :data:`LARGEST_ATTENTION` pixels may be left. At 100 x 100,
    one map of one head would already hold 10⁸ numbers per image.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels at full resolution.
        multipliers: Width of each level, as a multiple of ``width``; the resolution halves between levels.
        blocks: Residual blocks per level.
        dropout: Dropout probability.
        attention: Whether there is self-attention in the middle.
        time_conditioning: If False, the network is not conditioned on time.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        dropout: float = 0.0,
        attention: bool = True,
        time_conditioning: bool = True,
    ) -> None:
        super().__init__()
        condition = 4 * width
        self.time = TimeEmbedding(condition, time_conditioning)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        widths = [width * multiplier for multiplier in multipliers]
        channels, skips = width, [width]
        self.down = nn.ModuleList()
        for level, level_width in enumerate(widths):
            for _ in range(blocks):
                self.down.append(ResidualBlock2d(channels, level_width, condition, dropout))
                channels = level_width
                skips.append(channels)
            if level + 1 < len(widths):
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
        self.middle1 = ResidualBlock2d(channels, channels, condition, dropout)
        self.attention = SelfAttention2d(channels) if attention else nn.Identity()
        self.middle2 = ResidualBlock2d(channels, channels, condition, dropout)
        self.up = nn.ModuleList()
        for level, level_width in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(ResidualBlock2d(channels + skips.pop(), level_width, condition, dropout))
                channels = level_width
            if level:
                self.up.append(nn.Conv2d(channels, channels, 3, padding=1))  # after doubling the resolution
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.last = _zeroed(nn.Conv2d(channels, outputs, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Map images (B, inputs, H, W) at times (B,) to images (B, outputs, H, W); any H and W will do.

        On a CPU, ``network.to(memory_format=torch.channels_last)`` with images in that format saves more time on large
        images, and agrees up to rounding.
        """
        apart = x.device.type == "cpu" and not torch.is_grad_enabled() and x[0, 0].numel() >= LARGE_IMAGE
        if apart and len(x) > 1:
            return torch.cat([self(x[i : i + 1], t[i : i + 1]) for i in range(len(x))])
        condition = self.time(t)  # (B, 4·width)
        hidden = self.first(x)
        skips = [hidden]
        for layer in self.down:
            hidden = layer(hidden, condition) if isinstance(layer, ResidualBlock2d) else layer(hidden)
            skips.append(hidden)
        hidden = self.middle1(hidden, condition)
        hidden = self.attention(hidden)
        hidden = self.middle2(hidden, condition)
        for layer in self.up:
            if isinstance(layer, ResidualBlock2d):
                hidden = layer(torch.cat([hidden, skips.pop()], dim=1), condition)
            else:  # an odd size was rounded up on the way down, so go back to the size of the skip
                hidden = layer(F.interpolate(hidden, size=skips[-1].shape[-2:], mode="nearest"))
        return self.last(F.silu(self.norm(hidden)))


def _groups(channels: int) -> int:
    """At most 8 groups, of a size that divides the channels."""
    return next(groups for groups in (8, 4, 2, 1) if channels % groups == 0)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
