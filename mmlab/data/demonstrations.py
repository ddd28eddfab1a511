"""Demonstrations in a prompt: equal from every class, shuffled by a seed, and several questions in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlab.wording import require_at_least

__all__ = ["PICTURE", "balanced", "write_prompt"]

PICTURE = "<image>"
"""Where a picture goes."""


def balanced(label: Tensor, per_class: int, rng: torch.Generator) -> Tensor:
    """Places of demonstrations, as many of every class, in random order.

    Args:
        label: Classes of the candidates, (N,), from 0.
        per_class: Demonstrations of each class that occurs.
        rng: Randomness of choice and order: the same seed gives the same prompt.

    Raises:
        ValueError: If a class has too few candidates.
    """
    require_at_least(per_class=(per_class, 1))
    chosen = []
    for kind in sorted(set(label.tolist())):
        places = (label == kind).nonzero().flatten()
        if len(places) < per_class:
            raise ValueError(
                f"Class {kind} has {len(places)} candidates, and {per_class} demonstrations of each are wanted: ask "
                "for fewer, or collect more."
            )
        chosen.append(places[torch.randperm(len(places), generator=rng)[:per_class]])
    together = torch.cat(chosen)
    return together[torch.randperm(len(together), generator=rng)]


def write_prompt(
    answers: Sequence[int], names: Sequence[str], questions: int, question: str = "What is in the picture?"
) -> str:
    """Demonstrations, numbered questions, and how they are to be answered.

    Args:
        answers: Number of the class of each demonstration.
        names: Names of the classes.
        questions: How many pictures are asked about in this call.
        question: What is asked.

    Returns:
        A text with a :data:`PICTURE` for every demonstration and then for every question, in their order.

    Raises:
        ValueError: If nothing is asked, or a class has no name.
    """
    require_at_least(questions=(questions, 1))
    if any(not 0 <= answer < len(names) for answer in answers):
        raise ValueError(f"answers={list(answers)}: there are names for the classes 0 to {len(names) - 1}.")
    choices = ", ".join(names)
    lines = [f"{PICTURE}\n{question} Choices: {choices}\nAnswer: {names[answer]}" for answer in answers]
    lines += [f"{PICTURE}\nQuestion {number}: {question} Choices: {choices}" for number in range(1, questions + 1)]
    form = "\n".join(f"Answer {number}: one choice\nConfidence {number}: 0 to 1" for number in range(1, questions + 1))
    return "\n\n".join([*lines, f"Answer every question in this form:\n{form}"])
