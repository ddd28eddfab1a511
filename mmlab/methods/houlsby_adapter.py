"""Houlsby adapters: small bottlenecks after every sublayer of a transformer, the only parts that are trained.

Symbols: h (D) is what a sublayer puts out, m the width of the bottleneck, W_down (m, D) and W_up (D, m) its matrices.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import Part
from mmlab.nn.replacing import replace_layers

__all__ = ["TEXT_SUBLAYERS", "UNET_SUBLAYERS", "Bottleneck", "HoulsbyAdapter"]

UNET_SUBLAYERS = ("to_out.0", "net.2")
"""The last layer of every attention and every perceptron in the transformer blocks of a U-Net of diffusers."""

TEXT_SUBLAYERS = ("out_proj", "fc2")
"""The same of CLIP's text encoder."""


class Bottleneck(nn.Module):
    """The last layer of a sublayer, followed by an adapter with a connection around it.

    Args:
        base: The layer, which is frozen.
        width: Width m.
    """

    def __init__(self, base: nn.Linear, width: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        made: dict[str, Any] = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.down = nn.Linear(base.out_features, width, **made)
        self.up = nn.Linear(width, base.out_features, **made)
        with torch.no_grad():  # an identity at first; the paper draws very small numbers, which is nearly one
            self.up.weight.zero_()
            self.up.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., D)."""
        h: Tensor = self.base(x)
        return h + self.up(gelu(self.down(h)))  # Eq. (4)


class HoulsbyAdapter(LatentDiffusion):
    """Bottleneck adapters in the text encoder and in the transformer blocks of the U-Net.

    Args:
        unet: See :class:`~mmlab.methods.latent_diffusion.LatentDiffusion`; frozen, with the adapters put in.
        vae: Likewise.
        text_encoder: Likewise, with the adapters put in.
        schedule: Likewise.
        drop_condition: Likewise.
        min_snr: Likewise.
        width: Width m of the bottlenecks.
        where: ``"both"``, ``"unet"`` or ``"text"``.
        shift: Likewise.

    Raises:
        ValueError: If the width is no positive number, or there is no such place.

    Source:
        Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP".
    """

    card = Card(
        name="Houlsby adapters",
        family="words to pictures",
        paper="houlsby2019parameter",
        summary="Tunes text encoder and U-Net by small bottlenecks after every sublayer.",
        inputs=("input_ids", "image"),
        outputs=("image",),
        claims=(Claim("shape", "lora", "higher", kind="sanity", name="shape-houlsby"),),
        budget=Budget(gpu_minutes=25, gpu_memory_gb=14),
        chapter="adapt_to_a_finding",
        tags=("adapters", "PEFT", "Stable Diffusion", "CLIP", "fine-tuning"),
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
        width: int = 4,
        where: str = "both",
        shift: float = 1.0,
    ) -> None:
        super().__init__(unet, vae, text_encoder, schedule, drop_condition, min_snr, shift=shift)
        if width < 1:
            raise ValueError(f"width={width}: a bottleneck needs a width of 1 or more.")
        if where not in ("both", "unet", "text"):
            raise ValueError(f"where={where!r} is none of 'both', 'unet' and 'text'.")
        self.requires_grad_(False)
        self.width = width
        if where != "text":
            replace_layers(self.unet, UNET_SUBLAYERS, self._with_bottleneck)
        if where != "unet":
            replace_layers(self.text_encoder, TEXT_SUBLAYERS, self._with_bottleneck)

    def _with_bottleneck(self, layer: nn.Linear) -> nn.Module:
        return Bottleneck(layer, self.width)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The demo of latent diffusion, whose last layer is large enough to matter, with wide bottlenecks."""
        base, batch = LatentDiffusion.demo(seed)
        with torch.no_grad():
            base.unet.conv_out.weight *= 5
        return cls.on(base, seed, width=32, min_snr=None, drop_condition=0.0), batch
