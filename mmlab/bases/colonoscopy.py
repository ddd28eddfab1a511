"""The text-to-image base of the book: small, trained on drawn colonoscopies, in the layout of Stable Diffusion 1.5."""

from __future__ import annotations

from collections.abc import Iterator
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
    UNSEEN,
    WORDS,
    ColonoscopyWorld,
    colonoscopy_world,
    describe,
)
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.store.pipelines import save_pipeline
from mmlab.train.once import trained_once

__all__ = [
    "LENGTH",
    "PICTURES",
    "ROUNDS",
    "SCHEDULE",
    "SIZE",
    "TEXT",
    "TRAINING",
    "UNET",
    "VAE",
    "codes_of",
    "colonoscopy_base",
    "first_stage",
    "lessons_of",
    "rounds_of_base",
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
"""Number of drawn pictures that each stage of the base is trained on."""

VAE: dict[str, Any] = {
    "sample_size": SIZE,
    "latent_channels": 16,
    "block_out_channels": [8, 16, 32, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
}
"""Autoencoder of the base: 32 x 32 pixels of three colours become 4 x 4 places of 16 numbers, a twelfth."""

UNET: dict[str, Any] = {
    "sample_size": SIZE // 8,
    "in_channels": 16,
    "out_channels": 16,
    "conv_in_kernel": 7,
    "conv_out_kernel": 7,
    "block_out_channels": [64, 96],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
    "cross_attention_dim": 64,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
    "resnet_time_scale_shift": "scale_shift",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
}
"""U-Net of the base: it looks at the words where the codes are 4 x 4 and 2 x 2, and at a summary of them everywhere.

With so few places a convolution sees an edge from each of them and, where there are 2 x 2, all of them at once. That is
how it can tell the corners of a picture apart: nothing else in these networks says where a place is.
"""

SCHEDULE: dict[str, Any] = {"prediction_type": "v_prediction"}
"""What differs from the schedule of Stable Diffusion 1.5: at late times a velocity says more of the code."""

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

ROUNDS: tuple[dict[str, Any], ...] = (*[{"steps": 500, "warmup": 30}] * 2, {"steps": 500, "schedule": "cosine"})
"""The training of U-Net and text encoder, cut where it may be interrupted: each round is kept by itself."""

TRAINING: dict[str, Any] = {
    "batch_size": 48,
    "lr": 2e-3,
    "betas": (0.9, 0.99),
    "ema_decay": 0.99,
    "progress": False,
}
"""What all rounds have in common."""


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
        "steps": 3000,
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


def lessons_of(method: LatentDiffusion, world: ColonoscopyWorld, seed: int = 0) -> TensorData:
    """As :func:`codes_of`, so that places are learnt sooner: three prompts of four tell all facts of their picture.

    Pictures of a single polyp come twice, since their prompts alone tell a place.

    Args:
        method: Whose autoencoder encodes.
        world: The pictures and their prompts.
        seed: Seed of which prompts tell all.
    """
    data = codes_of(method, world).tensors
    everything = encode_prompts([describe(scene).text for scene in world.scenes], tokenizer())
    chosen = torch.rand(len(world), 1, generator=torch.Generator().manual_seed(seed)) < 0.75
    ids = torch.where(chosen, everything, data["input_ids"])
    single = [row for row, scene in enumerate(world.scenes) if len(scene.positions) == 1]
    rows = torch.tensor([*range(len(world)), *single])
    return TensorData({"input_ids": ids[rows], "moments": data["moments"][rows]})


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
    method = LatentDiffusion.seeded(seed, UNET, VAE | {"scaling_factor": 1.0}, text_settings(), SCHEDULE, shift=3.0)
    method.vae.load_state_dict(code.vae.state_dict())
    standardise(method.vae, world.pictures[:1024])
    if words is not None:
        method.text_encoder.load_state_dict(words.text_encoder.state_dict())
    return method


def rounds_of_base(seed: int = 0, world: ColonoscopyWorld | None = None) -> Iterator[LatentDiffusion]:
    """The base after each round of its training: the same model each time, which goes on learning when asked for more.

    Args:
        seed: As for :func:`colonoscopy_base`.
        world: The seed's pictures and prompts, where they are drawn already.
    """
    world = colonoscopy_world(PICTURES, seed=seed, size=SIZE) if world is None else world
    pictures = colonoscopy_world(PICTURES, seed=seed + 1, size=SIZE, shapes=(*SHAPES, UNSEEN))
    base = untrained_base(world, first_stage(pictures, seed), text_stage(world, seed), seed)
    data = lessons_of(base, world, seed)
    for number, training in enumerate(ROUNDS):
        base = trained_once(base, data, seed=seed + 1000 * number, **(TRAINING | training))
        yield base


def colonoscopy_base(seed: int = 0) -> LatentDiffusion:
    """A latent diffusion model that draws colonoscopies from prompts and was never shown a depressed polyp.

    Its autoencoder was, without a word, as that of Stable Diffusion has seen pictures of every kind: a tuned model
    draws nothing that its autoencoder cannot. All stages are trained at the first call and kept for the next ones by
    :func:`mmlab.train.once.trained_once`.

    Args:
        seed: Seed of the world, of the initial weights, and of the training.

    Returns:
        The base, in evaluation mode.
    """
    *_, base = rounds_of_base(seed)
    return base


def save_base(folder: str | Path, seed: int = 0) -> None:
    """Write the base as a folder that plain ``diffusers.DiffusionPipeline.from_pretrained`` loads.

    Args:
        folder: Where to.
        seed: As for :func:`colonoscopy_base`.
    """
    save_pipeline(colonoscopy_base(seed).pipeline(tokenizer()), folder)
