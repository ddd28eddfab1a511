"""LoRA: a model is tuned by adding to its weight matrices a product of two thin ones, and nothing else is trained.

Symbols: W (out, in) is a frozen weight, A (r, in) and B (out, r) are the trained factors, r the rank, α the scale.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import Part
from mmlab.nn.low_rank import ATTENTION, LowRank
from mmlab.nn.replacing import replace_layers
from mmlab.store.unet_adapters import save_unet_adapter

__all__ = ["LoRA"]


class LoRA(LatentDiffusion):
    """Low-rank adaptation of the U-Net of a latent diffusion model.

    Args:
        unet: See :class:`~mmlab.methods.latent_diffusion.LatentDiffusion`; frozen, with the adapters put in.
        vae: Likewise.
        text_encoder: Likewise, frozen.
        schedule: Likewise.
        drop_condition: Likewise.
        min_snr: Likewise; γ = 5 was used for colonoscopies.
        rank: Rank r of the updates.
        alpha: Scale α; None is r, so that the factor is one.
        targets: Ends of the names of the layers that are adapted.
        shift: Likewise.

    Raises:
        ValueError: If the rank is no positive number, or a target fits no layer.

    Source:
        Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models"; the layers, the Gaussian start and
        Min-SNR as in diffusers' training script.
    """

    card = Card(
        name="LoRA (low-rank adaptation)",
        family="words to pictures",
        paper="hu2022lora",
        summary="Tunes a diffusion model by low-rank updates of its attention, a file of a few per cent.",
        inputs=("input_ids", "image"),
        outputs=("image",),
        claims=(
            Claim("shape", "full tuning", "higher"),
            Claim("old facts", "full tuning", "higher", name="old-facts-lora"),
        ),
        budget=Budget(gpu_minutes=25, gpu_memory_gb=14),
        chapter="adapt_to_a_finding",
        tags=("LoRA", "PEFT", "Stable Diffusion", "fine-tuning", "colonoscopy"),
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
        targets: Sequence[str] = ATTENTION,
        shift: float = 1.0,
    ) -> None:
        super().__init__(unet, vae, text_encoder, schedule, drop_condition, min_snr, train_text=False, shift=shift)
        if rank < 1:
            raise ValueError(f"rank={rank}: an update needs a rank of 1 or more.")
        self.rank, self.alpha, self.targets = rank, float(rank if alpha is None else alpha), tuple(targets)
        self.requires_grad_(False)
        self.adapters = replace_layers(self.unet, targets, self.adapted)

    def adapted(self, layer: nn.Linear) -> nn.Module:
        """What takes a layer's place."""
        return LowRank(layer, self.rank, self.alpha)  # Eq. (1)

    def merged(self) -> LatentDiffusion:
        """A plain model with the same output: nothing is left of the adapter, and sampling costs what it did before."""
        unet = copy.deepcopy(self.unet)
        for name in self.adapters:
            parent, _, last = name.rpartition(".")
            setattr(unet.get_submodule(parent), last, unet.get_submodule(name).merged())  # Eq. (2)
        parts = (unet, self.vae, self.text_encoder, self.schedule)
        return LatentDiffusion(*parts, self.drop_condition, self.min_snr).eval()

    def save_adapter(self, folder: str | Path) -> None:
        """Write the adapter alone, as ``pipeline.load_lora_weights(folder)`` of diffusers reads it.

        Args:
            folder: Where to; see :func:`mmlab.store.unet_adapters.save_unet_adapter`.
        """
        from peft import LoraConfig, set_peft_model_state_dict

        plain = copy.deepcopy(self.unet)
        tensors: dict[str, Tensor] = {}
        for name, held in self.adapters.items():
            parent, _, last = name.rpartition(".")
            setattr(plain.get_submodule(parent), last, copy.deepcopy(held.base))
            tensors[f"{name}.lora_A.weight"] = held.get_parameter("a").data
            tensors[f"{name}.lora_B.weight"] = held.get_parameter("b").data
        with torch.random.fork_rng(devices=[]):
            settings: dict[str, Any] = {"r": self.rank, "lora_alpha": self.alpha, "target_modules": list(self.targets)}
            plain.add_adapter(LoraConfig(**settings))
        set_peft_model_state_dict(plain, tensors)
        save_unet_adapter(plain, folder)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The demo of latent diffusion, whose last layer is large enough to matter, with updates of rank 8."""
        base, batch = LatentDiffusion.demo(seed)
        with torch.no_grad():
            base.unet.conv_out.weight *= 5
        return cls.on(base, seed, rank=8, alpha=32.0, min_snr=None, drop_condition=0.0), batch
