"""The objectives on a validation set: whole, in order, in evaluation mode, with fixed randomness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmlab.data.batches import read
from mmlab.method import Batch, Method
from mmlab.train.learner import Learner
from mmlab.train.pieces import on_device, prepared
from mmlab.train.randomness import derive, seed_everything

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Validation"]


@dataclass(frozen=True)
class Validation:
    """Measures all objectives on all items.

    The chunks are as large as the pieces of a training batch and are dealt out to the processes; each has its own
    fixed randomness, so that the result does not depend on the step or on the number of processes.

    Attributes:
        accelerator: Knows the processes.
        method: The method.
        learners: Its objectives.
        data: The validation set.
        door: What is done to each batch, see :class:`mmlab.train.door.Door`.
        size: Items in a chunk.
        seed: Seed of the run.
    """

    accelerator: Accelerator
    method: Method
    learners: Sequence[Learner]
    data: Any
    door: Callable[[Batch], Batch]
    size: int
    seed: int

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """What was measured, by name, as means over the items. A loss that differentiates inside has to enable that."""
        chunks = -(-len(self.data) // self.size)
        processes = self.accelerator.num_processes
        totals: dict[str, Tensor] = {}
        for turn in range(-(-chunks // processes)):
            number = turn * processes + self.accelerator.process_index
            counted = float(number < chunks)  # all processes take every turn, and each chunk counts once
            for name, value in self._chunk(min(number, chunks - 1)).items():
                totals[name] = totals[name] + counted * value if name in totals else counted * value
        stacked = torch.stack([totals[name] for name in sorted(totals)])
        if processes > 1:
            stacked = self.accelerator.reduce(stacked, "sum")
        return dict(zip(sorted(totals), (stacked / len(self.data)).tolist(), strict=True))

    def _chunk(self, number: int) -> dict[str, Tensor]:
        """Sums over the items of one chunk."""
        rows = torch.arange(number * self.size, min((number + 1) * self.size, len(self.data)))
        seed_everything(derive(self.seed, "validation data", number))
        batch = on_device(self.door(read(self.data, rows)), self.accelerator.device)
        batch = prepared(self.method, batch, self.seed, "validation", number)
        sums: dict[str, Tensor] = {}
        for learner in self.learners:
            names, _, values = learner.measure(batch, "validation", number)
            prefix = f"{learner.name}/" if learner.name else ""
            sums |= {f"{prefix}{name}": value * len(rows) for name, value in zip(names, values.double(), strict=True)}
        return sums
