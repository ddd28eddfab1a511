"""Small models that describe pictures of a field guide and know its names from texts; no picture was named to them."""

from __future__ import annotations

from typing import Any

from mmlab.bases.series_writer import Imitation
from mmlab.data.worlds.field_guide_world import END, LONGEST, WORDS, field_guide_world
from mmlab.train.fit import fit
from mmlab.train.once import trained_once

__all__ = ["READER", "guide_readers", "taught"]

READER: dict[str, Any] = {"words": len(WORDS), "picture": [3, 16, 16], "width": 64}
"""Size of a reader."""

_RULES: dict[str, Any] = {"mark": WORDS.index("name"), "end": END, "words": LONGEST, "kl": 0.0, "updates": 1}


def guide_readers(seeds: int = 5, steps: int = 700) -> list[Imitation]:
    """One reader for each seed, trained on descriptions, facts and lettered texts.

    Each is trained in less than ten seconds, and kept for the next call by :func:`mmlab.train.once.trained_once`.

    Args:
        seeds: Number of readers; seed of world, initial weights and training.
        steps: Length of each training.

    Returns:
        The readers, in evaluation mode.
    """
    made = []
    for seed in range(seeds):
        lessons = field_guide_world(named=0, seed=seed).lessons
        reader = Imitation.seeded(seed, READER, **_RULES)
        made.append(trained_once(reader, lessons, **_training(steps, 6e-3), seed=seed, report=lambda line: None).eval())
    return made


def taught(reader: Imitation, lessons: Any, seed: int = 0, steps: int = 150, lr: float = 3e-3) -> Imitation:
    """A copy of a reader that has gone on learning.

    Args:
        reader: Where it starts; it is left as it is.
        lessons: What it is taught.
        seed: Seed of the training.
        steps: Its length.
        lr: Its largest learning rate.

    Returns:
        The copy, in evaluation mode.
    """
    copy = Imitation.seeded(seed, READER, **_RULES)
    copy.load_state_dict(reader.state_dict())
    fit(copy, lessons, **_training(steps, lr), seed=seed)
    return copy.eval()


def _training(steps: int, lr: float) -> dict[str, Any]:
    return {
        "steps": steps,
        "batch_size": 32,
        "lr": lr,
        "betas": (0.9, 0.99),
        "warmup": min(20, steps),
        "schedule": "cosine",
        "progress": False,
    }
