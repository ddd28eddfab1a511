"""ControlNet: a copy of the U-Net's encoder looks at a hint, and adds what it finds to a model that stays as it is.

Symbols: h is the hint, a picture such as a mask; k_i are the layers of the U-Net's encoder and its middle, k'_i those
of the copy, and Z_i convolutions over single places whose weights and biases begin at zero.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import Part

__all__ = ["ControlNet"]


class ControlNet(LatentDiffusion):
    """Draw pictures from prompts and hints; only the copy and the layers about it are trained.

    Args:
        unet: See :class:`~mmlab.methods.latent_diffusion.LatentDiffusion`; frozen.
        vae: Likewise.
        text_encoder: Likewise, frozen.
        schedule: Likewise.
        drop_condition: Probability with which training shows the empty prompt instead; the hint is always shown.
        min_snr: Likewise.
        channels: Channels of the hint.
        widths: Channels of the layers that the hint goes through; each but the first halves its sides, so that it
            comes to the size of the codes.
        shift: Likewise.

    Raises:
        ValueError: If the hint does not come to the size of the codes.

    Source:
        Zhang, Rao and Agrawala 2023, "Adding Conditional Control to Text-to-Image Diffusion Models".
    """

    card = Card(
        name="ControlNet",
        family="words to pictures",
        paper="zhang2023controlnet",
        summary="Adds a spatial hint to a frozen diffusion model, through a trained copy of its encoder.",
        inputs=("input_ids", "hint", "image"),
        outputs=("image",),
        claims=(Claim("RMSE", "another hint", "lower", kind="sanity", name="rmse-controlnet-vs-another-hint"),),
        budget=Budget(gpu_minutes=25, gpu_memory_gb=14),
        chapter="instruct_pix2pix",
        tags=("ControlNet", "Stable Diffusion", "image to image", "masks"),
    )
    draws = None

    def __init__(
        self,
        unet: Part = None,
        vae: Part = None,
        text_encoder: Part = None,
        schedule: dict[str, Any] | None = None,
        drop_condition: float = 0.1,
        min_snr: float | None = None,
        channels: int = 3,
        widths: Sequence[int] = (16, 32, 96, 256),
        shift: float = 1.0,
    ) -> None:
        from diffusers import ControlNetModel

        super().__init__(unet, vae, text_encoder, schedule, drop_condition, min_snr, train_text=False, shift=shift)
        shrinks = 2 ** (len(self.vae.config.block_out_channels) - 1)
        if 2 ** (len(widths) - 1) != shrinks:
            raise ValueError(
                f"widths={tuple(widths)} halve a hint {len(widths) - 1} times, and a code is {shrinks} times smaller "
                "than its picture: they must come to the same size."
            )
        self.requires_grad_(False)
        copied: Any = ControlNetModel
        self.control = copied.from_unet(
            self.unet, "rgb", tuple(widths), load_weights_from_unet=False, conditioning_channels=channels
        )
        self.control.conv_in = copy.deepcopy(self.unet.conv_in)  # its own has 3 x 3 weights, whatever the model has
        for part in ("time_embedding", "down_blocks", "mid_block"):
            getattr(self.control, part).load_state_dict(getattr(self.unet, part).state_dict())
        self.control.requires_grad_(True)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the prediction at random times, with now and then the empty prompt.

        Args:
            batch: As for latent diffusion; and ``hint``, (B, ``channels``, H, W) in [0, 1].
            rng: Draws codes, times, noise and which prompts are dropped.
        """
        z, words, hint = self._target(batch, rng), self._words(batch["input_ids"], rng), batch["hint"]
        return {"loss": self._error(z, rng, lambda seen, t: self._controlled(seen, t, words, hint))}

    def _controlled(self, z: Tensor, t: Tensor, words: Tensor, hint: Tensor, scale: float = 1.0) -> Tensor:
        """What the U-Net predicts when the copy has its say, k_i(...) + Z_i(k'_i(...)) in each place."""
        down, middle = self.control(z, t, words, controlnet_cond=hint, conditioning_scale=scale, return_dict=False)
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        predicted: Tensor = self.unet(z, t, words, **added, return_dict=False)[0]  # Eq. (4)
        return predicted

    @torch.no_grad()
    def sample(  # type: ignore[override]
        self,
        source: Tensor,
        hint: Tensor | None = None,
        *,
        steps: int = 20,
        guidance: float = 3.0,
        scale: float = 1.0,
        rng: torch.Generator,
    ) -> Tensor:
        """Draw a picture for each prompt and each hint.

        Args:
            source: Prompts as ids, (B, T).
            hint: (B, ``channels``, H, W) in [0, 1]; None is the model without the copy.
            steps: Looks at the network.
            guidance: Scale of the prompt; at 1 the empty prompt is not needed, and the network sees half as much.
            scale: What the copy adds is multiplied by it; at 0 the hint is not seen.
            rng: Draws the noise that the pictures start from.

        Returns:
            Pictures (B, 3, H, W), in [-1, 1] up to overshoots of the decoder.
        """
        if hint is None:
            return super().sample(source, steps=steps, guidance=guidance, rng=rng)
        prompts = self.read(source)
        if guidance == 1:
            return self._walk(
                len(source), steps, rng, prompts.dtype, lambda z, t: self._controlled(z, t, prompts, hint, scale)
            )
        words = torch.cat([self.read(self.empty[None]).expand_as(prompts), prompts])
        hints = torch.cat([hint, hint])

        def predict(z: Tensor, t: Tensor) -> Tensor:
            without, told = self._controlled(torch.cat([z, z]), t, words, hints, scale).chunk(2)
            return without + guidance * (told - without)

        return self._walk(len(source), steps, rng, prompts.dtype, predict)

    def pipeline(self, tokenizer: Any) -> Any:
        """A ``StableDiffusionControlNetPipeline`` of these networks, sharing their weights.

        Args:
            tokenizer: A ``CLIPTokenizer``.
        """
        from diffusers import StableDiffusionControlNetPipeline

        parts = super().pipeline(tokenizer).components
        kept = {name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
        return StableDiffusionControlNetPipeline(
            **kept, controlnet=self.control, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )  # type: ignore[no-untyped-call]

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The demo of latent diffusion; the hint is the colour itself."""
        base, batch = LatentDiffusion.demo(seed)
        return cls.on(base, seed, widths=(4, 8)), {**batch, "hint": batch["image"] / 2 + 0.5}
