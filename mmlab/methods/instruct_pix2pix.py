"""InstructPix2Pix: a latent diffusion model that sees a source picture beside the noise, and changes it as it is told.

Symbols: z is the code of the target, c of the source, y the prompt; ∅ stands for a source or a prompt that is not
shown, g_I and g_T are the guidance scales of source and prompt, and the network f_θ predicts noise or velocity.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import Part

__all__ = ["InstructPix2Pix", "guided_twice", "hidden", "widened"]


def widened(unet: Any, channels: int) -> Any:
    """A U-Net whose first layer sees some channels more; their weights are zero, so at first it does what it did."""
    old = unet.conv_in
    new = nn.Conv2d(old.in_channels + channels, old.out_channels, old.kernel_size, old.stride, old.padding)
    new = new.to(old.weight.device, old.weight.dtype)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        if new.bias is not None:
            new.bias.copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(in_channels=new.in_channels)
    return unet


def hidden(draw: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Whose prompt and whose source is not shown, (B,) each, for draws (B,) from the unit interval.

    A share of the items lacks the prompt alone, one as large the source alone, and one as large both.
    """
    return draw < 2 * share, (draw >= share) & (draw < 3 * share)  # Eq. (2)


def guided_twice(nothing: Tensor, source: Tensor, both: Tensor, of_source: float, of_prompt: float) -> Tensor:
    """What is followed: beyond the source what it changes, and beyond the prompt what that changes then."""
    return nothing + of_source * (source - nothing) + of_prompt * (both - source)  # Eq. (3)


class InstructPix2Pix(LatentDiffusion):
    """Turn a source picture into a target, with a prompt that says how.

    Args:
        unet: See :class:`~mmlab.methods.latent_diffusion.LatentDiffusion`. One that sees the target's code alone gets
            channels for the source's, with weights of zero.
        vae: Likewise.
        text_encoder: Likewise.
        schedule: Likewise.
        drop_condition: Share of the items of which the prompt, the source, or both are not shown, a share for each.
        min_snr: Likewise.
        train_text: Likewise; the published script freezes the text encoder.
        shift: Likewise.

    Raises:
        ValueError: If the U-Net's channels fit neither one code nor two, or the shares do not fit into one.

    Source:
        Brooks, Holynski and Efros 2023, "InstructPix2Pix: Learning to Follow Image Editing Instructions".
    """

    card = Card(
        name="InstructPix2Pix",
        family="words to pictures",
        paper="brooks2023instructpix2pix",
        summary="Changes a source picture as a prompt says, by a diffusion model that sees its code beside the noise.",
        inputs=("input_ids", "source", "image"),
        outputs=("image",),
        claims=(
            Claim("RMSE", "another source", "lower", kind="sanity"),
            Claim("findings", "no report", "lower", kind="sanity"),
            Claim("RMSE", "ridge", "lower", kind="sanity"),
        ),
        budget=Budget(gpu_minutes=25, gpu_memory_gb=14),
        tags=("InstructPix2Pix", "Stable Diffusion", "image to image", "guidance"),
    )
    draws = None

    def __init__(
        self,
        unet: Part = None,
        vae: Part = None,
        text_encoder: Part = None,
        schedule: dict[str, Any] | None = None,
        drop_condition: float = 0.05,
        min_snr: float | None = None,
        train_text: bool = False,
        shift: float = 1.0,
    ) -> None:
        super().__init__(unet, vae, text_encoder, schedule, drop_condition, min_snr, train_text, shift)
        if drop_condition > 1 / 3:
            raise ValueError(f"drop_condition={drop_condition}: three shares of it must fit into one.")
        code, seen = self.vae.config.latent_channels, self.unet.config.in_channels
        if seen not in (code, 2 * code):
            raise ValueError(f"The U-Net sees {seen} channels: it must be {code}, those of a code, or twice as many.")
        if seen == code:
            self.unet = widened(self.unet, code)  # Eq. (1)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the prediction at random times, with now and then no prompt, no source, or neither.

        Args:
            batch: ``input_ids`` (B, T); target ``image`` and ``source``, (B, 3, H, W) in [-1, 1], or in their places
                ``moments`` and ``source_moments``.
            rng: Draws codes, times, noise and what is not shown.
        """
        z = self._target(batch, rng)
        held = batch["source_moments"] if "source_moments" in batch else self.moments(batch["source"])
        draw = torch.rand(len(z), generator=rng, device=z.device)
        no_prompt, no_source = hidden(draw, self.drop_condition)
        ids = torch.where(no_prompt[:, None], self.empty, batch["input_ids"])
        beside = self._mode(held) * ~no_source.view(-1, 1, 1, 1)
        words = self.read(ids)
        return {"loss": self._error(z, rng, lambda seen, t: self.unet(torch.cat([seen, beside], 1), t, words).sample)}

    @torch.no_grad()
    def sample(  # type: ignore[override]
        self,
        source: Tensor,
        image: Tensor | None = None,
        *,
        steps: int = 20,
        guidance: float = 3.0,
        image_guidance: float = 1.5,
        rng: torch.Generator,
    ) -> Tensor:
        """Draw a picture for each prompt and each source picture.

        Args:
            source: Prompts as ids, (B, T).
            image: Source pictures, (B, 3, H, W) in [-1, 1]; None shows none.
            steps: Looks at the network.
            guidance: Scale g_T of the prompt.
            image_guidance: Scale g_I of the source. With both at 1, the network sees a third as much.
            rng: Draws the noise that the pictures start from.

        Returns:
            Pictures (B, 3, H, W), in [-1, 1] up to overshoots of the decoder.
        """
        told, seen = self.read(source), self.unet.config
        shape = (len(source), seen.out_channels, seen.sample_size, seen.sample_size)
        code = told.new_zeros(shape) if image is None else self._mode(self.moments(image))
        if guidance == image_guidance == 1:

            def look(z: Tensor, t: Tensor) -> Tensor:
                followed: Tensor = self.unet(torch.cat([z, code], 1), t, told, return_dict=False)[0]
                return followed

            return self._walk(len(source), steps, rng, told.dtype, look)
        empty = self.read(self.empty[None]).expand_as(told)
        words = torch.cat([empty, empty, told])
        beside = torch.cat([torch.zeros_like(code), code, code])

        def predict(z: Tensor, t: Tensor) -> Tensor:
            seen = torch.cat([torch.cat([z] * 3), beside], 1)
            nothing, shown, both = self.unet(seen, t, words, return_dict=False)[0].chunk(3)
            return guided_twice(nothing, shown, both, image_guidance, guidance)

        return self._walk(len(source), steps, rng, told.dtype, predict)

    @staticmethod
    def _mode(moments: Tensor) -> Tensor:
        """The source's code: its mean, and not scaled, since published weights were trained so."""
        return moments.chunk(2, dim=1)[0]

    def pipeline(self, tokenizer: Any) -> Any:
        """A ``StableDiffusionInstructPix2PixPipeline`` of these networks, sharing their weights.

        Args:
            tokenizer: A ``CLIPTokenizer``.
        """
        from diffusers import StableDiffusionInstructPix2PixPipeline

        parts = super().pipeline(tokenizer).components
        kept = {name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
        return StableDiffusionInstructPix2PixPipeline(
            **kept, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )  # type: ignore[no-untyped-call]

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The demo of latent diffusion; the source is the picture of the next colour."""
        base, batch = LatentDiffusion.demo(seed)
        return cls.on(base), {**batch, "source": batch["image"].roll(1, 0)}
