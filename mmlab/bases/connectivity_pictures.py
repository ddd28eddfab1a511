"""A small Stable Diffusion for connectivity: pictures of motor matrices, drawn from reports of findings in words.

Each matrix of :func:`mmlab.data.worlds.rest_motor_world.rest_motor_world` is a grey picture with one pixel for each
pair of regions. A report tells of three blocks of the motor matrix whether they are weak, usual or strong, which is
known here since the world knows the motor matrices without noise::

    Motor state with sensorimotor strong default weak between usual.

The model sees motor pictures and reports of the training people alone. It is what a translator from rest to motor
begins from, as published ones begin from Stable Diffusion.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from mmlab.bases.stages import FirstStage, standardise
from mmlab.data.connectome import ConnectomePairs, edges, matrices
from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rest_motor_world import RestMotorWorld, rest_motor_world
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.train.once import trained_once

__all__ = [
    "BLOCKS",
    "LEVELS",
    "People",
    "blocks_of",
    "connectivity_pictures",
    "edges_of",
    "people_of",
    "pictures_of",
    "reports",
    "side_of",
    "tokenizer",
]

REGIONS, LENGTH = 16, 12
"""Regions of a matrix, which are the pixels of a side; tokens of a report."""

BLOCKS = {
    "sensorimotor": ("sensorimotor", "sensorimotor"),
    "default": ("default", "default"),
    "between": ("sensorimotor", "default"),
}
"""What a report tells of: the mean of the edges within a network, or between two."""

LEVELS = ("weak", "usual", "strong")
"""A third of the training people each."""

VAE: dict[str, Any] = {
    "sample_size": REGIONS,
    "latent_channels": 8,
    "block_out_channels": [24, 24],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "mid_block_add_attention": False,
    "scaling_factor": 1.0,
}
"""Autoencoder: 16 x 16 pixels become 8 x 8 places of 8 numbers. Neighbouring pixels are no neighbours in the brain, so
that a matrix is not smooth, and hardly anything can be left out."""

UNET: dict[str, Any] = {
    "sample_size": REGIONS // 2,
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
"""U-Net of the base."""

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "projection_dim": 32,
    "max_position_embeddings": LENGTH,
}
"""Text encoder of the base, trained with the U-Net."""


class People(NamedTuple):
    """People of the world, split.

    Attributes:
        world: The world.
        train: Pairs to train on.
        test: Pairs to test on.
        cuts: (2, blocks), the values between weak and usual, and between usual and strong.
    """

    world: RestMotorWorld
    train: ConnectomePairs
    test: ConnectomePairs
    cuts: Tensor


@lru_cache(2)
def people_of(subjects: int = 600, held_out: int = 64, seed: int = 0) -> People:
    """A world of rest and motor matrices, split by person, with the cuts between the levels of findings.

    Args:
        subjects: Number of people.
        held_out: How many of them are tested on.
        seed: Seed of the world and the split.
    """
    world = rest_motor_world(subjects, REGIONS, seed)
    train, test = world.pairs.split(held_out, seed)
    values = blocks_of(world.true_motor[world.indices(train)], train)
    return People(world, train, test, values.quantile(torch.tensor([1 / 3, 2 / 3]), dim=0))


def blocks_of(values: Tensor, pairs: ConnectomePairs) -> Tensor:
    """Means of the blocks of :data:`BLOCKS`, (S, blocks), of edges (S, E)."""
    names = pairs.regions.networks
    columns = []
    for one, other in BLOCKS.values():
        mask = torch.tensor([[{a, b} == {one, other} for b in names] for a in names])
        columns.append(values[:, edges(mask)].mean(1))
    return torch.stack(columns, 1)


def reports(levels: Tensor) -> list[str]:
    """Reports in words of levels (S, blocks): 0 weak, 1 usual, 2 strong."""
    return [
        "Motor state with " + " ".join(f"{name} {LEVELS[i]}" for name, i in zip(BLOCKS, row, strict=True)) + "."
        for row in levels.tolist()
    ]


@lru_cache(1)
def tokenizer() -> Any:
    """A ``CLIPTokenizer`` to which each word of the reports is one token."""
    return prompt_tokenizer(["motor state with " + " ".join((*BLOCKS, *LEVELS))], LENGTH)


def levels_of(true: Tensor, people: People) -> Tensor:
    """Levels (S, blocks) of true motor edges (S, E)."""
    return (blocks_of(true, people.train)[:, None] > people.cuts).sum(1)


def told(pairs: ConnectomePairs, people: People, words: Any = None) -> Tensor:
    """Reports of people as ids, (S, T), of a tokenizer; None is :func:`tokenizer`."""
    true = people.world.true_motor[people.world.indices(pairs)]
    return encode_prompts(reports(levels_of(true, people)), words or tokenizer())


def side_of(base: LatentDiffusion) -> int:
    """Pixels of a side of the pictures that a model draws."""
    halvings = len(base.vae.config.block_out_channels) - 1
    return int(base.unet.config.sample_size) * 2**halvings


def pictures_of(values: Tensor, side: int | None = None) -> Tensor:
    """Edges (S, E) as grey pictures (S, 3, N, N) in [-1, 1], or (S, 3, side, side) with larger pixels."""
    grey = matrices(values.clamp(-1, 1))[:, None]
    if side is not None and side != grey.shape[-1]:
        grey = interpolate(grey, size=(side, side), mode="nearest-exact")
    return grey.expand(-1, 3, -1, -1).contiguous()


def edges_of(pictures: Tensor, regions: int = REGIONS) -> Tensor:
    """Pictures (S, 3, side, side) as edges (S, E): the mean over a pixel, the colours and the halves of the matrix."""
    grey = adaptive_avg_pool2d(pictures.mean(1), (regions, regions))
    return edges((grey + grey.mT) / 2)


def lessons(base: LatentDiffusion, pairs: ConnectomePairs, people: People, words: Any = None) -> TensorData:
    """What translators learn from: ``input_ids``, ``hint``, and codes as ``moments`` and ``source_moments``."""
    side = side_of(base)
    with torch.no_grad():
        target, source = (
            torch.cat([base.moments(pictures_of(part, side).to(base.device)).cpu() for part in torch.split(values, 64)])
            for values in (pairs.target, pairs.source)
        )
    hint = pictures_of(pairs.source, side) / 2 + 0.5
    ids = told(pairs, people, words)
    return TensorData({"input_ids": ids, "moments": target, "source_moments": source, "hint": hint})


def first_stage(people: People, seed: int = 0, **training: Any) -> FirstStage:
    """The autoencoder, trained on the matrices of the training people in both states."""
    usual: dict[str, Any] = {
        "steps": 600, "batch_size": 8, "lr": 3e-3, "warmup": 30, "schedule": "cosine", "progress": False,
    }  # fmt: skip
    pictures = pictures_of(torch.cat([people.train.source, people.train.target]))
    return trained_once(FirstStage.seeded(seed, VAE), TensorData({"image": pictures}), seed=seed, **usual | training)


def connectivity_pictures(people: People | None = None, seed: int = 0, **training: Any) -> LatentDiffusion:
    """A latent diffusion model that draws motor matrices from reports.

    Args:
        people: Whom it is trained on; None is :func:`people_of`.
        seed: Seed of weights and training.
        **training: Arguments of fit that replace the usual ones for the U-Net.

    Returns:
        The base, in evaluation mode.
    """
    held = people or people_of()
    words: Any = tokenizer()
    text = TEXT | {"vocab_size": len(words)}
    text |= {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    base = LatentDiffusion.seeded(seed, UNET, VAE, text, {"prediction_type": "v_prediction"})
    base.vae.load_state_dict(first_stage(held, seed).vae.state_dict())
    standardise(base.vae, pictures_of(held.train.target))
    usual: dict[str, Any] = {"steps": 400, "batch_size": 16, "lr": 2e-3, "warmup": 20, "schedule": "cosine",
                             "ema_decay": 0.99, "progress": False}  # fmt: skip
    with torch.no_grad():
        moments = base.moments(pictures_of(held.train.target))
    data = TensorData({"input_ids": told(held.train, held), "moments": moments})
    return trained_once(base, data, seed=seed, **usual | training)
