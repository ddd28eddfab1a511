"""A small TinyLLaVA that answers questions on scenes: what the chapters on tuning language models start from."""

from __future__ import annotations

from typing import Any

from mmlab.bases.tiny_llava import LANGUAGE, VISION
from mmlab.data.conversations import Conversations, tokenizer_of
from mmlab.data.worlds.scene_world import SceneWorld, scene_world
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.train.once import trained_once

__all__ = ["conversations_of", "scene_reader", "untrained_reader"]


def untrained_reader(world: SceneWorld, seed: int = 0, **changes: Any) -> TinyLLaVA:
    """The reader before training, nothing of it frozen.

    Args:
        world: Whose words it can write.
        seed: Seed of the initial weights. The global random state is left alone.
        **changes: Other arguments of TinyLLaVA.
    """
    arguments: dict[str, Any] = {
        "language_model": {
            **LANGUAGE,
            "num_hidden_layers": 3,
            "max_position_embeddings": 256,
            "vocab_size": len(tokenizer_of(world.sentences())),
        },
        "vision_tower": VISION,
        "drop_first_patch": False,  # there are few, and each shows something
        "vision_layer": -1,
        "pixel_mean": [0.22] * 3,  # of the scenes: without it shape and place stay at chance for hundreds of steps
        "pixel_std": [0.17] * 3,
    }
    return TinyLLaVA.seeded(seed, **arguments | changes).requires_grad_(True)


def conversations_of(world: SceneWorld, items: Any) -> Conversations:
    """Items of a world as a dataset for the reader, and to generate from."""
    return Conversations(items, tokenizer_of(world.sentences()), size=world.pictures["train"].shape[-1])


def scene_reader(seed: int = 0, steps: int = 400, **changes: Any) -> tuple[TinyLLaVA, SceneWorld]:
    """A reader of the shape, colour, place and size of a figure, and its world.

    It is trained on all questions of :data:`mmlab.data.worlds.scene_world.QUESTIONS`, in half a minute, and kept for
    the next call by :func:`mmlab.train.once.trained_once`.

    Args:
        seed: Seed of the world, of the initial weights, and of the training.
        steps: Length of the training.
        **changes: Other arguments of TinyLLaVA.

    Returns:
        The reader, in evaluation mode, and its world.
    """
    world = scene_world(items=1000, seed=seed)
    reader = trained_once(
        untrained_reader(world, seed, **changes),
        conversations_of(world, world.literal("train")),
        steps=steps,
        batch_size=32,
        lr=3e-3,
        betas=(0.9, 0.99),
        warmup=30,
        schedule="cosine",
        seed=seed,
        progress=False,
    )
    return reader.eval(), world
