"""What is trained before a latent diffusion model: the code for its pictures, and the states for its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss

from mmlab.method import Batch, Method
from mmlab.nn import from_diffusers

__all__ = ["FirstStage", "TextStage", "standardise"]


class FirstStage(Method):
    """An autoencoder that is trained on pictures alone: absolute and squared error, and a pull of the codes to N(0, 1).

    Args:
        vae: Settings of the ``AutoencoderKL``.
        kl: Weight of the pull.
    """

    def __init__(self, vae: dict[str, Any], kl: float = 1e-6) -> None:
        super().__init__()
        self.vae = from_diffusers.autoencoder(vae).requires_grad_(True)
        self.kl = kl
        spread = slice(self.vae.config.latent_channels, None)  # of the codes: log variances, which would begin at 0
        with torch.no_grad():
            self.vae.quant_conv.bias[spread] = -8.0  # noise as large as the codes would drown what little they say yet

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The three terms, with a draw of the codes.

        Args:
            batch: ``image``, (B, 3, H, W) in [-1, 1].
            rng: Draws the codes.
        """
        image = batch["image"]
        codes = self.vae.encode(image).latent_dist
        noise = torch.randn(codes.mean.shape, generator=rng, device=image.device)
        made = self.vae.decode(codes.mean + codes.std * noise).sample
        error = l1_loss(made, image) + mse_loss(made, image)
        pull = codes.kl().mean()
        return {"loss": error + self.kl * pull, "error": error, "kl": pull}


@torch.no_grad()
def standardise(vae: Any, pictures: Tensor) -> None:
    """Give each channel of an autoencoder's codes mean zero and variance one; what it decodes stays the same.

    The last layer before the codes and the first behind them are convolutions over single places, so a shift and a
    scale of the codes can be put into both. A diffusion model starts from noise of mean zero and variance one: where a
    channel is far from that, it has to learn so first.

    Args:
        vae: An ``AutoencoderKL``; it is changed in place.
        pictures: That mean and variance are measured on, (N, 3, H, W).
    """
    codes = torch.cat([vae.encode(part).latent_dist.mean for part in torch.split(pictures, 256)])
    mean, size = codes.mean((0, 2, 3)), codes.std((0, 2, 3))
    count = len(mean)
    to, back = vae.quant_conv, vae.post_quant_conv
    to.weight[:count] /= size.view(-1, 1, 1, 1)
    to.bias[:count] = (to.bias[:count] - mean) / size
    to.bias[count:] -= 2 * size.log()
    back.bias += back.weight[:, :, 0, 0] @ mean
    back.weight *= size.view(1, -1, 1, 1)


class TextStage(Method):
    """A text encoder that learns to tell what a prompt says, as CLIP's has learnt what goes with which picture.

    The facts are read off the states from the end of the prompt on, which have seen all its words. A fact that the
    prompt does not tell is a class of its own.

    Args:
        text_encoder: Settings of the ``CLIPTextModel``.
        classes: Number of values of each fact, by name.
    """

    def __init__(self, text_encoder: dict[str, Any], classes: dict[str, int]) -> None:
        super().__init__()
        self.text_encoder = from_diffusers.text_encoder(text_encoder)
        width = self.text_encoder.config.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(width, count + 1) for name, count in classes.items()})

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean cross-entropy of the facts.

        Args:
            batch: ``input_ids`` (B, T), and for each fact the number of its value (B,); the last one: not told.
            rng: Not used.
        """
        ids = batch["input_ids"]
        states = self.text_encoder(input_ids=ids).last_hidden_state
        after = ids == self.text_encoder.config.eos_token_id
        total = torch.zeros((), device=ids.device)
        for name, head in self.heads.items():
            asked = batch[name][:, None].expand_as(ids)[after]
            total = total + cross_entropy(head(states[after]), asked) / len(self.heads)
        return {"loss": total}

    @staticmethod
    def targets(told: Sequence[Mapping[str, Any]], values: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
        """What prompts tell, as numbers.

        Args:
            told: The facts that each prompt tells.
            values: The values of each fact.
        """
        return {
            name: torch.tensor([known.index(facts[name]) if name in facts else len(known) for facts in told])
            for name, known in values.items()
        }
