"""QLoRA: the frozen weights are kept in four bits each, and a low-rank update is trained on top of them.

Symbols: c_0 < ... < c_15 are the levels of NormalFloat (NF4), which are quantiles of a Gaussian; each block of 64
weights is divided by the largest of them in size, s, and each weight becomes the number of its nearest level. The sizes
are quantised themselves, in blocks of 256 and eight bits (double quantisation).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from mmlab.card import Budget, Card, Claim
from mmlab.methods.lora import LoRA
from mmlab.nn.from_diffusers import Part
from mmlab.nn.low_rank import LINEAR, LowRank

__all__ = ["NF4", "QLoRA", "Quantised", "dequantise", "dynamic_levels", "nf4_levels", "quantise"]

_BLOCK, _GROUP = 64, 256


def nf4_levels() -> Tensor:
    """The 16 levels of NF4, (16,): eight quantiles of N(0, 1) above zero, zero, and seven below, scaled to [-1, 1]."""
    tail = 0.5 * ((1 - 1 / 32) + (1 - 1 / 30))  # the outermost probability: mean of what 16 and 15 levels would take
    above = torch.special.ndtri(torch.linspace(tail, 0.5, 9, dtype=torch.float64)[:-1])
    below = -torch.special.ndtri(torch.linspace(tail, 0.5, 8, dtype=torch.float64)[:-1])
    levels = torch.cat([above, torch.zeros(1, dtype=torch.float64), below]).sort().values
    return (levels / levels.max()).float()  # Eq. (3)


@cache
def dynamic_levels() -> Tensor:
    """The 256 levels of the eight-bit code for sizes, (256,): fine near zero, coarse at one.

    For each power of ten from -6 to 0 the interval from a tenth of it to it is cut into 1, 2, 4, ... 64 equal parts,
    whose middles are levels, with both signs; 0 and 1 are added.
    """
    levels = [torch.tensor([0.0, 1.0])]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2**power + 1)
        middles = 10.0 ** (power - 6) * (edges[:-1] + edges[1:]) / 2
        levels += [middles, -middles]
    return torch.cat(levels).sort().values


class NF4(NamedTuple):
    """A weight in four bits.

    Attributes:
        codes: Two weights in a byte, the first in the upper half.
        sizes: One byte for each block.
        scales: float32, one for each group of sizes.
        offset: Mean of the sizes, which was taken away before they were quantised.
        shape: Shape of the weight.
    """

    codes: Tensor
    sizes: Tensor
    scales: Tensor
    offset: Tensor
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What it takes to store."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self[:4])


def quantise(weight: Tensor) -> NF4:
    """Weights in four bits, with double quantisation of the blocks' sizes.

    Args:
        weight: Weights in any shape, finite.

    Raises:
        ValueError: If a weight is not finite.
    """
    if not weight.isfinite().all():
        raise ValueError("quantise: a weight is not finite; look for what went wrong in its training.")
    blocks = _blocks(weight.detach().float().flatten(), _BLOCK)
    size = blocks.abs().amax(1)
    codes = _nearest(blocks * (1 / size.clamp(min=1e-38))[:, None], _levels(weight.device)).flatten()
    codes = codes[: weight.numel() + weight.numel() % 2].to(torch.uint8)
    offset = size.mean()
    groups = _blocks(size - offset, _GROUP)
    scales = groups.abs().amax(1)
    scaled = groups * (1 / scales.clamp(min=1e-38))[:, None]
    sizes = _nearest(scaled, dynamic_levels().to(weight.device)).flatten()[: len(size)].to(torch.uint8)
    return NF4(codes[::2] << 4 | codes[1::2], sizes, scales, offset, tuple(weight.shape))


def dequantise(held: NF4) -> Tensor:
    """The weights that four bits stand for, float32."""
    levels = dynamic_levels().to(held.codes.device)[held.sizes.long()]
    size = levels * held.scales.repeat_interleave(_GROUP)[: len(levels)] + held.offset
    codes = torch.stack([held.codes >> 4, held.codes & 15], dim=1).flatten()
    values = _blocks(_levels(held.codes.device)[codes.long()], _BLOCK) * size[:, None]
    return values.flatten()[: prod(held.shape)].view(held.shape)


class Quantised(nn.Module):
    """A linear layer whose weight is kept in four bits, and unpacked whenever it is used.

    Args:
        layer: The layer; its bias stays as it is.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        held = quantise(torch.zeros_like(layer.weight, device="cpu") if layer.weight.is_meta else layer.weight)
        self.codes: Tensor
        self.sizes: Tensor
        self.scales: Tensor
        self.offset: Tensor
        for name in ("codes", "sizes", "scales", "offset"):
            tensor = getattr(held, name)
            self.register_buffer(name, tensor.to("meta") if layer.weight.is_meta else tensor)
        self.bias = layer.bias

    @property
    def held(self) -> NF4:
        """The weight in four bits."""
        return NF4(self.codes, self.sizes, self.scales, self.offset, (self.out_features, self.in_features))

    @property
    def weight(self) -> Tensor:
        """The weight, unpacked."""
        return dequantise(self.held) if not self.codes.is_meta else self.codes.new_empty(self.out_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out); gradients go through to x."""
        return linear(x, dequantise(self.held).to(x.dtype), self.bias)

    def plain(self) -> nn.Linear:
        """An ordinary layer with the unpacked weight."""
        made = nn.Linear(self.in_features, self.out_features, self.bias is not None, device=self.codes.device)
        with torch.no_grad():
            made.weight.copy_(self.weight)
            if self.bias is not None:
                made.bias.copy_(self.bias)
        return made


class QLoRA(LoRA):
    """Low-rank updates on frozen weights of four bits.

    Args:
        unet: See :class:`~mmlab.methods.latent_diffusion.LatentDiffusion`; its layers are quantised in place.
        vae: Likewise, not quantised.
        text_encoder: Likewise, not quantised.
        schedule: Likewise.
        drop_condition: Likewise.
        min_snr: Likewise.
        rank: Rank r of the updates.
        alpha: Scale α; None is r.
        targets: Ends of the names of the layers that are quantised and adapted; the paper takes all linear ones.
        shift: Likewise.

    Source:
        Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs".
    """

    card = Card(
        name="QLoRA",
        family="words to pictures",
        paper="dettmers2023qlora",
        summary="LoRA on weights that are kept in four bits, NF4 with double quantisation, written out.",
        inputs=("input_ids", "image"),
        outputs=("image",),
        claims=(Claim("shape", "lora", "higher", name="shape-qlora"),),
        budget=Budget(gpu_minutes=25, gpu_memory_gb=12),
        chapter="adapt_to_a_finding",
        tags=("QLoRA", "LoRA", "quantisation", "bitsandbytes", "NF4"),
    )
    draws = None

    def __init__(
        self,
        unet: Part = None,
        vae: Part = None,
        text_encoder: Part = None,
        schedule: dict[str, Any] | None = None,
        drop_condition: float = 0.1,
        min_snr: float | None = 5.0,
        rank: int = 4,
        alpha: float | None = None,
        targets: Sequence[str] = LINEAR,
        shift: float = 1.0,
    ) -> None:
        super().__init__(unet, vae, text_encoder, schedule, drop_condition, min_snr, rank, alpha, targets, shift)

    def adapted(self, layer: nn.Linear) -> nn.Module:
        """What takes a layer's place."""
        return LowRank(Quantised(layer), self.rank, self.alpha)


@cache
def _levels(device: torch.device) -> Tensor:
    return nf4_levels().to(device)


def _blocks(values: Tensor, size: int) -> Tensor:
    """(n,) as rows of a size, the last one filled with zeros."""
    return pad(values, (0, -len(values) % size)).view(-1, size)


def _nearest(values: Tensor, levels: Tensor) -> Tensor:
    return torch.bucketize(values, (levels[1:] + levels[:-1]) / 2)
