"""The text-to-image base of the book: small, trained on drawn colonoscopies, in the layout of Stable Diffusion 1.5."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from mmlab.bases.stages import FirstStage, TextStage, standardise
from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import (
    ARTEFACTS,
    NUMBERS,
    POSITIONS,
    SHAPES,
    SIZES,
    WORDS,
    ColonoscopyWorld,
    colonoscopy_world,
)
from mmlab.methods.latent_diffusion import LatentDiffusion
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
    "codes_of",
    "colonoscopy_base",
    "first_stage",
    "save_base",
    "text_settings",
    "text_stage",
    "tokenizer",
    "untrained_base",
]

SIZE = 32
"""Height and width of the pictures."""

LENGTH = 24
"""Tokens of a prompt."""

PICTURES = 3000
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
"""Text encoder of the base; the vocabulary is the world's."""

_FACTS: dict[str, tuple[Any, ...]] = {
    "number": tuple(range(len(NUMBERS))),
    "position": tuple(POSITIONS),
    "shape": SHAPES,
    "size": tuple(SIZES),
    "instrument": (True,),
    "text": (True,),
    "artefact": ARTEFACTS[1:],
}

ROUNDS: tuple[dict[str, Any], ...] = (*[{"steps": 600, "warmup": 30}] * 4, {"steps": 600, "schedule": "cosine"})
"""The training of U-Net and text encoder, cut where it may be interrupted: each round is kept by itself."""


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
    usual: dict[str, Any] = {
        "steps": 1600,
        "batch_size": 8,
        "lr": 6e-3,
        "warmup": 30,
        "schedule": "cosine",
        "progress": False,
    }
    stage = FirstStage.seeded(seed, VAE)
    return trained_once(stage, TensorData({"image": world.pictures}), seed=seed, **(usual | training))


@torch.no_grad()
def codes_of(method: LatentDiffusion, world: ColonoscopyWorld) -> TensorData:
    """What a latent diffusion model learns from: ``input_ids`` of the prompts, and ``moments`` of the pictures' codes.

    Args:
        method: Whose autoencoder encodes, once for the whole training.
        world: The pictures and their prompts.
    """
    moments = torch.cat([method.moments(part) for part in torch.split(world.pictures, 256)])
    ids = encode_prompts([prompt.text for prompt in world.prompts], tokenizer())
    return TensorData({"input_ids": ids, "moments": moments})


def text_settings() -> dict[str, Any]:
    """Settings of the base's text encoder, with its vocabulary."""
    words = tokenizer()
    ends = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return TEXT | ends | {"vocab_size": len(words)}


def text_stage(world: ColonoscopyWorld, seed: int = 0, **training: Any) -> TextStage:
    """The text encoder, trained to tell what the prompts of a world say, and kept for the next call.

    Args:
        world: The prompts.
        seed: Seed of its weights and its training.
        **training: Arguments of fit that replace the usual ones.
    """
    usual: dict[str, Any] = {
        "steps": 400,
        "batch_size": 64,
        "lr": 2e-3,
        "warmup": 20,
        "schedule": "cosine",
        "progress": False,
    }
    stage = TextStage.seeded(seed, text_settings(), {name: len(known) for name, known in _FACTS.items()})
    ids = encode_prompts([prompt.text for prompt in world.prompts], tokenizer())
    targets = TextStage.targets([prompt.told for prompt in world.prompts], _FACTS)
    return trained_once(stage, TensorData({"input_ids": ids, **targets}), seed=seed, **(usual | training))


def untrained_base(
    world: ColonoscopyWorld, code: FirstStage, words: TextStage | None = None, seed: int = 0
) -> LatentDiffusion:
    """The base with a trained autoencoder, whose codes are given mean zero and variance one, and an untrained U-Net.

    Args:
        world: Pictures that mean and variance are measured on.
        code: The trained autoencoder; it is not changed.
        words: The trained text encoder; None begins with an untrained one.
        seed: Seed of the other weights. The global random state is left alone.
    """
    method = LatentDiffusion.seeded(seed, UNET, VAE | {"scaling_factor": 1.0}, text_settings(), min_snr=5.0)
    method.vae.load_state_dict(code.vae.state_dict())
    standardise(method.vae, world.pictures[:1024])
    if words is not None:
        method.text_encoder.load_state_dict(words.text_encoder.state_dict())
    return method


def colonoscopy_base(seed: int = 0) -> LatentDiffusion:
    """A latent diffusion model that draws colonoscopies from prompts; it has never seen a depressed polyp.

    All stages are trained at the first call and kept for the next ones by :func:`mmlab.train.once.trained_once`.

    Args:
        seed: Seed of the world, of the initial weights, and of the training.

    Returns:
        The base, in evaluation mode.
    """
    world = colonoscopy_world(PICTURES, seed=seed, size=SIZE)
    base = untrained_base(world, first_stage(world, seed), text_stage(world, seed), seed)
    data = codes_of(base, world)
    usual: dict[str, Any] = {"batch_size": 24, "lr": 1.5e-3, "betas": (0.9, 0.99), "ema_decay": 0.99, "progress": False}
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
