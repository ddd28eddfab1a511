"""Four kinds of generators that have learnt the same colonoscopies with the same prompts, each trained once.

Latent diffusion is :mod:`mmlab.bases.colonoscopy`, Muse and CM3Leon are :mod:`mmlab.bases.token_family`. What is added
here is a decoder that paints from embeddings of pictures, for the prior of Kandinsky: the U-Net of latent diffusion, on
the same codes, trained at the same rate and without a word.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmlab.bases.colonoscopy import SCHEDULE, TRAINING, UNET, rounds_of_base
from mmlab.bases.colonoscopy_tokens import PICTURES, SIZE
from mmlab.bases.embedding_decoder import EmbeddingDecoder, PictureEmbedding
from mmlab.bases.token_family import one_stage_writers
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import ColonoscopyWorld, colonoscopy_world
from mmlab.methods.cm3leon import CM3Leon
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.methods.muse import Muse
from mmlab.methods.vqgan import VQGAN
from mmlab.train.once import trained_once

__all__ = ["LENGTH_OF_EMBEDDING", "ROUNDS_OF_DECODER", "STAGES", "Generators", "decoder_rounds", "generators"]

LENGTH_OF_EMBEDDING = 48
"""Numbers of a picture's embedding."""

ROUNDS_OF_DECODER: tuple[dict[str, Any], ...] = ({"steps": 500, "warmup": 30}, {"steps": 250, "schedule": "cosine"})
"""The decoder's training: the first round is as the first of latent diffusion."""

STAGES = {"autoencoder": 3000, "tokenizer": 1000, "perceptual": 500, "text": 400}
"""Steps of what is trained before the generators: a test holds them against the trainings."""


@dataclass(frozen=True, eq=False)
class Generators:
    """What draws colonoscopies, and what it has learnt from.

    Attributes:
        world: Pictures and prompts.
        latent: Latent diffusion after each round of its training, the last one being the base of other chapters.
        embed: Embeddings of pictures, by the perceptual network of the tokenizer.
        decoders: The decoder of embeddings after each round of its training.
        tokenizer: Pictures to tokens, and back.
        muse: Prompts to tokens, all at once.
        cm3leon: Prompts to tokens, one by one.
    """

    world: ColonoscopyWorld
    latent: Sequence[LatentDiffusion]
    embed: PictureEmbedding
    decoders: Sequence[EmbeddingDecoder]
    tokenizer: VQGAN
    muse: Muse
    cm3leon: CM3Leon


@torch.no_grad()
def decoder_rounds(
    base: LatentDiffusion, world: ColonoscopyWorld, embed: PictureEmbedding, seed: int = 0
) -> list[EmbeddingDecoder]:
    """The decoder of embeddings after each round of its training on the pictures of a world, without their prompts.

    Args:
        base: Whose autoencoder is taken.
        world: The pictures.
        embed: Their embeddings.
        seed: Seed of the weights and the training.
    """
    decoder = EmbeddingDecoder.seeded(seed, LENGTH_OF_EMBEDDING, UNET, base.vae, schedule=SCHEDULE, shift=base.shift)
    moments = torch.cat([base.moments(part) for part in torch.split(world.pictures, 256)])
    data = TensorData({"embedding": embed(world.pictures), "moments": moments})
    made = []
    for number, training in enumerate(ROUNDS_OF_DECODER):
        with torch.enable_grad():
            decoder = trained_once(decoder, data, seed=seed + 1000 * number, **(TRAINING | training))
        made.append(copy.deepcopy(decoder))
    return made


def generators(seed: int = 0) -> Generators:
    """All four kinds, trained at the first call and kept for the next ones.

    Args:
        seed: Seed of the world, of the initial weights, and of the trainings.
    """
    world = colonoscopy_world(PICTURES, seed=seed, size=SIZE)
    latent = [copy.deepcopy(base) for base in rounds_of_base(seed, world)]
    tokenizer, muse, cm3leon = one_stage_writers(seed, world)
    if tokenizer.features is None:
        raise ValueError("The tokenizer has no perceptual network, which makes the embeddings: give it some features.")
    embed = PictureEmbedding(tokenizer.features, world.pictures, LENGTH_OF_EMBEDDING)
    decoders = decoder_rounds(latent[-1], world, embed, seed)
    return Generators(world, latent, embed, decoders, tokenizer, muse, cm3leon)
