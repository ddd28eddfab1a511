"""What a run says when it has to stop: what was not finite, in whose items, and where the last checkpoint is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mmlab.train.learner import Learner, NotFiniteError
from mmlab.train.sampler import Order

__all__ = ["check_finite", "not_finite", "whereabouts"]


def not_finite(
    learner: Learner, error: NotFiniteError, order: Order, step: int, dataset: Any, made: Mapping[str, int]
) -> str:
    """The sentence on a loss or a gradient that is not finite: step, objective, items, their subjects, what was made.

    Args:
        learner: Whose loss or gradient it is.
        error: What was not finite, and in which pieces.
        order: Which items make which batch.
        step: Number of the step, from 0.
        dataset: Its subjects are named.
        made: How many updates each objective had made in this step, by its name.
    """
    pieces = range(order.pieces) if error.pieces is None else error.pieces
    items = torch.cat([order.indices(step, piece) for piece in pieces]).tolist()
    text = f"Step {step + 1}: the {error.what}"
    text += f" (objective {learner.name!r})" if learner.name else ""
    text += f", in the samples {items}"
    if getattr(dataset, "subjects", None) is not None:
        text += f" of the subjects {sorted({str(dataset.subjects[item]) for item in items})}"
    text += f". The weights are those of step {step}"
    updates = " and ".join(f"{count} of {name!r}" if name else f"{count}" for name, count in made.items())
    return f"{text} with the updates that step {step + 1} had made before ({updates})" if updates else text


def whereabouts(folder: Path | None, saved: tuple[int, int] | None) -> str:
    """Where the last checkpoint is, as the end of a sentence."""
    if folder is None:
        return "nothing was saved, since fit was given no `out`."
    return "no checkpoint had been saved." if saved is None else f"{folder} holds step {saved[0]}."


def check_finite(learners: Iterable[Learner], step: int, where: str) -> None:
    """Refuse weights that are not finite; the last update made them so, since all losses before were finite.

    Raises:
        FloatingPointError: If a weight that is trained is not finite.
    """
    for learner in learners:
        if (name := learner.not_finite()) is not None:
            raise FloatingPointError(
                f"Step {step}: {name} is not finite after the update: the learning rate is too high, or the gradient "
                f"too large; {where}"
            )
