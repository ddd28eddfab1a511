"""The text-to-image base of the book: small, trained on drawn colonoscopies, in the layout of Stable Diffusion 1.5."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import WORDS, ColonoscopyWorld, colonoscopy_world
from mmlab.method import Batch, Method
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn import from_diffusers
from mmlab.store.pipelines import save_pipeline
from mmlab.train.once import trained_once

__all__ = [
    "LENGTH",
    "PICTURES",
    "ROUNDS",
    "SIZE",
    "TEXT",
    "UNET",
    "VAE",
    "FirstStage",
    "codes_of",
    "colonoscopy_base",
    "first_stage",
    "save_base",
    "tokenizer",
    "untrained_base",
]

SIZE = 32
"""Height and width of the pictures."""

LENGTH = 24
"""Tokens of a prompt."""

PICTURES = 6000
"""Number of drawn pictures that the base is trained on."""

VAE: dict[str, Any] = {
    "sample_size": SIZE,
    "latent_channels": 8,
    "block_out_channels": [8, 16, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
}
"""Autoencoder of the base: 32 x 32 pixels of three colours become 8 x 8 places of eight numbers, a sixth."""

UNET: dict[str, Any] = {
    "sample_size": SIZE // 4,
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "cross_attention_dim": 64,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
"""U-Net of the base: it looks at the words where the codes are 4 x 4."""

TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 64,
    "max_position_embeddings": LENGTH,
}
"""Text encoder of the base, trained with the U-Net; the vocabulary is the world's."""

ROUNDS: tuple[dict[str, Any], ...] = (*[{"steps": 300, "warmup": 30}] * 4, {"steps": 400, "schedule": "cosine"})
"""The training of U-Net and text encoder, cut where it may be interrupted: each round is kept by itself."""


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


@lru_cache(1)
def tokenizer() -> Any:
    """The base's ``CLIPTokenizer``: each of the world's words is one token, all others are spelt."""
    return prompt_tokenizer(WORDS, LENGTH)


def first_stage(world: ColonoscopyWorld, seed: int = 0, **training: Any) -> FirstStage:
    """The autoencoder, trained on the pictures of a world, and kept for the next call.

    Args:
        world: The pictures.
        seed: Seed of its weights and its training.
        **training: Arguments of fit that replace the usual ones.
    """
    usual = {"steps": 1600, "batch_size": 8, "lr": 6e-3, "warmup": 30, "schedule": "cosine", "progress": False}
    stage = FirstStage.seeded(seed, VAE)
    return trained_once(stage, TensorData({"image": world.pictures}), seed=seed, **(usual | training))


@torch.no_grad()
def codes_of(method: LatentDiffusion, world: ColonoscopyWorld) -> TensorData:
    """What a latent diffusion model learns from: ``input_ids`` of the prompts, and ``moments`` of the pictures' codes.

    Args:
        method: Whose autoencoder encodes, once for the whole training.
        world: The pictures and their prompts.
    """
    moments = torch.cat([method.moments(part) for part in world.pictures.split(256)])
    ids = encode_prompts([prompt.text for prompt in world.prompts], tokenizer())
    return TensorData({"input_ids": ids, "moments": moments})


def untrained_base(stage: FirstStage, world: ColonoscopyWorld, seed: int = 0) -> LatentDiffusion:
    """The base with its trained autoencoder, whose codes are scaled to a standard deviation of one, as published.

    Args:
        stage: The trained autoencoder.
        world: Pictures that the scale is measured on.
        seed: Seed of the other weights. The global random state is left alone.
    """
    words = tokenizer()
    ends = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    with torch.no_grad():
        scale = 1 / float(stage.vae.encode(world.pictures[:512]).latent_dist.mean.std())
    settings = VAE | {"scaling_factor": round(scale, 4)}
    method = LatentDiffusion.seeded(seed, UNET, settings, TEXT | ends | {"vocab_size": len(words)}, min_snr=5.0)
    method.vae.load_state_dict(stage.vae.state_dict())
    return method


def colonoscopy_base(seed: int = 0) -> LatentDiffusion:
    """A latent diffusion model that draws colonoscopies from prompts; it has never seen a depressed polyp.

    Both stages are trained at the first call and kept for the next ones by :func:`mmlab.train.once.trained_once`.

    Args:
        seed: Seed of the world, of the initial weights, and of the training.

    Returns:
        The base, in evaluation mode.
    """
    world = colonoscopy_world(PICTURES, seed=seed, size=SIZE)
    base = untrained_base(first_stage(world, seed), world, seed)
    data = codes_of(base, world)
    usual = {"batch_size": 40, "lr": 2e-3, "betas": (0.9, 0.99), "ema_decay": 0.99, "progress": False}
    for number, training in enumerate(ROUNDS):
        base = trained_once(base, data, seed=seed + 1000 * number, **(usual | training))
    return base


def save_base(folder: str | Path, seed: int = 0) -> None:
    """Write the base as a folder that plain ``diffusers.DiffusionPipeline.from_pretrained`` loads.

    Args:
        folder: Where to.
        seed: As for :func:`colonoscopy_base`.
    """
    save_pipeline(colonoscopy_base(seed).pipeline(tokenizer()), folder)
