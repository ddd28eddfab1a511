"""DreamBooth: a model is taught one new thing under a rare word, while its own old pictures hold it in place.

Symbols: (x, y) are pictures of the new thing with the rare word in the prompt; (x', y') pictures that the model itself
drew, before, for the class that the thing belongs to; λ weighs the second loss against the first.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import Part

__all__ = ["DreamBooth", "with_prior"]


@torch.no_grad()
def with_prior(
    base: LatentDiffusion,
    new: TensorData,
    class_ids: Tensor,
    *,
    rng: torch.Generator,
    steps: int = 15,
    guidance: float = 3.0,
) -> TensorData:
    """Pictures of a new thing, each beside one that the untouched model draws for a prompt of its class.

    Args:
        base: The model before it is tuned.
        new: ``input_ids`` and ``moments`` of the new thing, N.
        class_ids: Prompts of the class, (M, T), M at least 1; they are gone through in turn.
        rng: Draws the noise of the pictures.
        steps: Steps of the sampler.
        guidance: Its guidance scale.

    Returns:
        The same N items, with ``prior_ids`` and ``prior_moments``.
    """
    ids = class_ids[torch.arange(len(new)) % len(class_ids)]
    how: dict[str, Any] = {"steps": steps, "guidance": guidance, "rng": rng}
    drawn = torch.cat([base.sample(part, **how) for part in torch.split(ids, 64)]).clamp(-1, 1)
    return TensorData({**new.tensors, "prior_ids": ids, "prior_moments": base.moments(drawn)})


class DreamBooth(LatentDiffusion):
    """Tuning of the whole U-Net, and of the text encoder if wished, with prior preservation.

    Args:
        unet: See :class:`~mmlab.methods.latent_diffusion.LatentDiffusion`.
        vae: Likewise.
        text_encoder: Likewise.
        schedule: Likewise.
        drop_condition: Likewise; the published script drops no prompt.
        min_snr: Likewise.
        train_text: Whether the text encoder is trained, too.
        prior_weight: λ; at 0 this is plain tuning.
        shift: Likewise.

    Raises:
        ValueError: If λ is negative.

    Source:
        Ruiz et al. 2023, "DreamBooth: Fine Tuning Text-to-Image Diffusion Models for Subject-Driven Generation".
    """

    card = Card(
        name="DreamBooth",
        family="words to pictures",
        paper="ruiz2023dreambooth",
        summary="Teaches a diffusion model a new thing, with its own old pictures against forgetting.",
        inputs=("input_ids", "image"),
        outputs=("image",),
        claims=(Claim("old facts", "full tuning", "higher", name="old-facts-dreambooth"),),
        budget=Budget(gpu_minutes=25, gpu_memory_gb=16),
        chapter="adapt_to_a_finding",
        tags=("DreamBooth", "Stable Diffusion", "fine-tuning", "forgetting"),
    )
    draws = None

    def __init__(
        self,
        unet: Part = None,
        vae: Part = None,
        text_encoder: Part = None,
        schedule: dict[str, Any] | None = None,
        drop_condition: float = 0.0,
        min_snr: float | None = None,
        train_text: bool = True,
        prior_weight: float = 1.0,
        shift: float = 1.0,
    ) -> None:
        super().__init__(unet, vae, text_encoder, schedule, drop_condition, min_snr, train_text, shift)
        if not prior_weight >= 0:
            raise ValueError(f"prior_weight={prior_weight}: λ must be 0 or more.")
        self.prior_weight = prior_weight

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The loss of the new pictures plus λ times that of the old ones.

        Args:
            batch: As for latent diffusion; and ``prior_ids`` with ``prior_moments`` or ``prior_image``. Without them
                this is plain tuning.
            rng: Draws codes, times and noise.
        """
        new = super().loss(batch, rng)["loss"]
        prior = {name.removeprefix("prior_"): value for name, value in batch.items() if name.startswith("prior_")}
        if not prior or not self.prior_weight:
            return {"loss": new, "new": new}
        prior["input_ids"] = prior.pop("ids")
        old = super().loss(prior, rng)["loss"]
        return {"loss": new + self.prior_weight * old, "new": new, "old": old}  # Eq. (5)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The demo of latent diffusion; the class is the picture of the next colour."""
        base, batch = LatentDiffusion.demo(seed)
        prior = {"prior_ids": batch["input_ids"].roll(1, 0), "prior_image": batch["image"].roll(1, 0)}
        return cls.on(base), {**batch, **prior}
