"""A small GILL on frozen parts, untrained or trained once: it reads mini-memes, finds them, and says how to draw."""

from __future__ import annotations

from typing import Any

from mmlab.bases.frozen_towers import KeywordReader, Towers, captioned, frozen_towers, keyword_reader, lexicon
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.mini_memes import MiniMemes, mini_memes
from mmlab.methods.gill import GILL
from mmlab.train.once import trained_once

__all__ = ["MAPPER", "PREFIX", "TRAINING", "kept_items", "small_gill", "untrained_gill"]

PREFIX = 5
"""Vectors that a picture becomes: as many as a caption has words."""

MAPPER: dict[str, Any] = {"hidden": 64, "layers": 1, "heads": 4}
"""Arguments of the small mapper."""

TRAINING: dict[str, Any] = {
    "steps": 1800,
    "batch_size": 32,
    "lr": 3e-3,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
    "warmup": 30,
    "schedule": "cosine",
    "progress": False,
}
"""Arguments of fit."""


def untrained_gill(reader: KeywordReader, towers: Towers, seed: int = 0, **changes: Any) -> GILL:
    """A GILL around frozen parts, of which nothing is trained yet.

    Args:
        reader: Whose language model.
        towers: Whose vision tower.
        seed: Seed of what is learnt.
        **changes: Other arguments of GILL.
    """
    arguments: dict[str, Any] = {"prefix": PREFIX, "retrieval_width": 32, "queries": 7, "target_width": 64}
    arguments |= {"mapper": MAPPER, "vocabulary": len(lexicon()), "concatenate": 0.0}
    return GILL.seeded(seed, reader.model, towers.vision, **arguments | changes)


def kept_items(method: GILL, world: MiniMemes, part: str, towers: Towers) -> TensorData:
    """Items as GILL trains on them, with what never changes computed once in place of the pictures.

    Args:
        method: Whose frozen parts read them.
        world: The mini-memes.
        part: ``"train"`` or ``"test"``.
        towers: Whose text tower gives the target.
    """
    items = captioned(world, part, towers).tensors
    items = {name: items[name] for name in ("input_ids", "length", "image", "target")}
    kept = method.cache(items)
    return TensorData({name: value for name, value in {**items, **kept}.items() if name != "image"})


def small_gill(seed: int = 1) -> tuple[GILL, Towers, KeywordReader, MiniMemes]:
    """A trained GILL, its frozen parts, and its world; each is trained once and kept for the next call.

    Args:
        seed: Seed of the world, of all weights and of every training. The settings were chosen on the world of seed 0,
            so its test part is not one to judge by.

    Returns:
        The model in evaluation mode, the towers, the language model, and the mini-memes.
    """
    world = mini_memes(seed=seed)
    towers, reader = frozen_towers(world, seed), keyword_reader(world, seed)
    method = untrained_gill(reader, towers, seed)
    trained_once(method, kept_items(method, world, "train", towers), seed=seed, **TRAINING)
    return method, towers, reader, world
