"""Small models that the book trains itself, once, and that several chapters start from."""

from __future__ import annotations

from typing import Any

import torch

from mmlab.data.conversations import Conversations, tokenizer_of
from mmlab.data.worlds.mini_memes import MiniMemes, mini_memes
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.train.once import trained_once

__all__ = ["LANGUAGE", "VISION", "tiny_base", "untrained_base"]

_SIZE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
_ENDS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)

LANGUAGE: dict[str, Any] = {**_SIZE, "max_position_embeddings": 64, "initializer_range": 0.1, **_ENDS}
"""Language model of the base; the vocabulary is the world's. Weights drawn as for a large one (0.02) would be slow."""

VISION: dict[str, Any] = {**_SIZE, "image_size": 32, "patch_size": 8}
"""Vision tower of the base: 16 patches."""


def untrained_base(world: MiniMemes, seed: int = 0, **changes: Any) -> TinyLLaVA:
    """The base before training; nothing of it is frozen, since nobody has trained its tower before.

    Args:
        world: Whose words it can write.
        seed: Seed of the initial weights. The global random state is left alone.
        **changes: Other arguments of TinyLLaVA.
    """
    arguments: dict[str, Any] = {
        "language_model": {**LANGUAGE, "vocab_size": len(tokenizer_of(world.sentences()))},
        "vision_tower": VISION,
        "drop_first_patch": False,  # there are few, and each shows something
        "vision_layer": -1,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyLLaVA(**arguments | changes).requires_grad_(True)


def tiny_base(seed: int = 0, **changes: Any) -> tuple[TinyLLaVA, MiniMemes]:
    """A small TinyLLaVA that says what is drawn in a mini-meme, and repeats words; it has seen no meaning of any.

    It is trained on the literal and the general task of :func:`mmlab.data.worlds.mini_memes.mini_memes`, in a
    quarter of a minute, and kept for the next call by :func:`mmlab.train.once.trained_once`.

    Args:
        seed: Seed of the world, of the initial weights, and of the training.
        **changes: Other arguments of TinyLLaVA, such as ``connector``.

    Returns:
        The base, in evaluation mode with its tower frozen, and its world.
    """
    world = mini_memes(seed=seed)
    size = int(VISION["image_size"])
    items = world.literal("train") + world.general("train")
    data = Conversations(items, tokenizer_of(world.sentences()), size=size)
    base = trained_once(
        untrained_base(world, seed, **changes),
        data,
        steps=700,
        batch_size=16,
        lr=3e-3,
        betas=(0.9, 0.99),
        warmup=20,
        schedule="cosine",
        seed=seed,
        progress=False,
    )
    base.vision_tower.requires_grad_(False)
    return base, world
