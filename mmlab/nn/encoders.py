"""Small encoders: one item of a modality in, a vector of features out.

None of them uses batch normalisation, which fails for one item whose maps have shrunk to one pixel, and makes an
item's features depend on its neighbours in the batch. Group normalisation with one group takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AttentionBlock", "Convolutional", "EncoderKind", "LeNet", "Recurrent", "TokenTransformer", "make_encoder"]

EncoderKind = Literal["perceptron", "convolutional", "lenet", "recurrent", "transformer"]
_DIMENSIONS = {"convolutional": "(C, H, W)", "lenet": "(C, H, W)", "recurrent": "(T, C)", "transformer": "(T, C)"}


def make_encoder(kind: EncoderKind, shape: Sequence[int], width: int, dropout: float = 0.0) -> nn.Module:
    """An encoder from items (B, *shape) to features (B, width). The features are not passed through a nonlinearity.

    Args:
        kind: ``"perceptron"`` (flattens anything; two layers), ``"convolutional"`` or ``"lenet"`` for images
            (C, H, W), ``"recurrent"`` or ``"transformer"`` for sequences (T, C).
        shape: Shape of one item.
        width: Number of features D.
        dropout: Dropout probability of the hidden features.

    Raises:
        ValueError: If there is no such kind, or it does not fit the shape.
    """
    if kind not in get_args(EncoderKind):
        raise ValueError(f"There is no encoder {kind!r}: choose one of {', '.join(get_args(EncoderKind))}.")
    if (needed := _DIMENSIONS.get(kind)) and len(shape) != needed.count(",") + 1:
        raise ValueError(f"The encoder {kind!r} reads items of shape {needed}, not {tuple(shape)}.")
    if kind == "perceptron":
        hidden = 2 * width
        return nn.Sequential(
            nn.Flatten(), nn.Linear(prod(shape), hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
    if kind == "convolutional":
        return Convolutional(shape, width, dropout)
    if kind == "lenet":
        return LeNet(shape, width, dropout=dropout)
    return Recurrent(shape, width) if kind == "recurrent" else TokenTransformer(shape, width, dropout=dropout)


class Convolutional(nn.Module):
    """A small convolutional network: two 3x3 convolutions with pooling, a 2x2 summary, and a linear map.

    Args:
        shape: Shape of one image, (C, H, W).
        width: Number of features D.
        dropout: Dropout probability of the summary.
        channels: Maps of the first convolution; the second has twice as many.
    """

    def __init__(self, shape: Sequence[int], width: int, dropout: float = 0.0, channels: int = 16) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(shape[0], channels, 3, padding=1),
            nn.GroupNorm(1, channels),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.GroupNorm(1, 2 * channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * channels, width))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, D)."""
        return self.out(self.maps(x))


class LeNet(nn.Module):
    """The LeNet of MultiBench: convolution, normalisation, ReLU and pooling, until one side is a single pixel.

    The first convolution is 5x5, all others are 3x3, and channels double each time: four stages for 28 x 28, six for
    112 x 112. Two things differ from the original: group normalisation (see above), and a linear map to ``width``.

    Args:
        shape: Shape of one image, (C, H, W), with sides of at least 2.
        width: Number of features D.
        channels: Maps of the first convolution.
        dropout: Dropout probability of the last maps.

    Source:
        Liang et al. 2021, MultiBench, the unimodal encoders of AV-MNIST.
    """

    def __init__(self, shape: Sequence[int], width: int, channels: int = 6, dropout: float = 0.0) -> None:
        super().__init__()
        before, *sides = shape
        if min(sides) < 2:
            raise ValueError(f"The encoder 'lenet' halves the sides of an image; {tuple(shape)} is too small for that.")
        stages: list[nn.Module] = []
        while min(sides) > 1:
            size = 3 if stages else 5
            after = 2 * before if stages else channels
            stages += [
                nn.Conv2d(before, after, size, padding=size // 2, bias=False),  # the normalisation has the bias
                nn.GroupNorm(1, after),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            before, sides = after, [side // 2 for side in sides]
        self.maps = nn.Sequential(*stages, nn.Flatten())
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(before * prod(sides), width))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, D)."""
        return self.out(self.maps(x))


class Recurrent(nn.Module):
    """A gated recurrent unit that reads a sequence; its last state is the features.

    Args:
        shape: Shape of one sequence, (T, C).
        width: Number of features D.
    """

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.unit = nn.GRU(shape[1], width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (B, T, C) to features (B, D)."""
        return self.unit(x)[1][0]


class TokenTransformer(nn.Module):
    """A small pre-norm transformer over the steps of a sequence; the mean of its tokens is the features.

    Args:
        shape: Shape of one sequence, (T, C).
        width: Number of features D.
        depth: Number of blocks.
        heads: Attention heads; they must divide the width.
        dropout: Dropout probability of the hidden features.
    """

    def __init__(self, shape: Sequence[int], width: int, depth: int = 2, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Linear(shape[1], width)
        self.positions = nn.Parameter(0.02 * torch.randn(shape[0], width))
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (B, T, C) to features (B, D)."""
        tokens = self.embed(x) + self.positions  # (B, T, D)
        for block in self.blocks:
            tokens = block(tokens, tokens)
        return self.norm(tokens).mean(1)


class AttentionBlock(nn.Module):
    """Pre-norm attention of queries to a context, then a perceptron, both as residuals.

    Args:
        width: Width of the tokens D.
        heads: Attention heads H; they must divide the width.
        dropout: Dropout probability of the perceptron's features.

    Raises:
        ValueError: If the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} attention heads cannot share a width of {width}: choose a multiple of {heads}.")
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift all scores alike
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let tokens (B, Q, D) look at a context (B, T, D).

        Args:
            tokens: The queries.
            context: What they look at.
            mask: True where they may look, (B, T); each row needs one True.
        """
        seen = self.norms[1](context)
        queries = self._split(self.query(self.norms[0](tokens)))
        allowed = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(
            queries, self._split(self.key(seen)), self._split(self.value(seen)), attn_mask=allowed
        )
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        return tokens + self.perceptron(self.norms[2](tokens))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, H, T, D / H)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
