"""Two states of each subject as rows of numbers: what a predictor learns from, whatever the numbers are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mmlab.data.batches import read_all
from mmlab.data.subjects import subject_id

__all__ = ["Pairs"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of two states; row i of both belongs to the same subject. The two may have different widths.

    Attributes:
        source: (S, D), the state to start from.
        target: (S, E), the state to arrive at.
        subjects: S ids in the order of the rows. A subject with several rows is never split.
    """

    source: Tensor = field(repr=False)
    target: Tensor = field(repr=False)
    subjects: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, data: Any) -> Pairs:
        """Rows of whatever holds a source and a target.

        Args:
            data: Pairs; a dataset of dicts with ``source`` and ``target``, such as
                :class:`mmlab.data.tensors.TensorData`; a mapping with these two keys and perhaps ``subjects``; or a
                tuple of two arrays. Arrays are of NumPy or torch; whole numbers become float32.

        Raises:
            ValueError: If there is no source or target, or they are not rows of as many subjects.
        """
        if isinstance(data, Pairs):
            return data
        subjects = getattr(data, "subjects", None)
        if isinstance(data, Mapping):
            held = dict(data)
            subjects = held.get("subjects")
        elif isinstance(data, tuple) and len(data) == 2:
            held = {"source": data[0], "target": data[1]}
        else:
            held = dict(read_all(data))
        if lacking := [key for key in ("source", "target") if key not in held]:
            there = ", ".join(map(str, sorted(held))) or "nothing"
            raise ValueError(f"The data have no {lacking[0]!r}, only {there}: name the two states source and target.")
        source, target = (_rows(held[key], key) for key in ("source", "target"))
        if subjects is None:
            subjects = [f"row {number}" for number in range(len(source))]
        if not len(source) == len(target) == len(subjects):
            counts = f"source {len(source)}, target {len(target)}, subjects {len(subjects)}"
            raise ValueError(f"The numbers of rows differ ({counts}): every subject needs one row of each.")
        return Pairs(source, target, tuple(subject_id(subject) for subject in subjects))

    def __len__(self) -> int:
        return len(self.subjects)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"source": self.source[index], "target": self.target[index]}

    def batch(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """The pairs at these positions: ``source`` (B, D) and ``target`` (B, E)."""
        chosen = torch.as_tensor(indices, dtype=torch.long, device=self.source.device)
        return {"source": self.source[chosen], "target": self.target[chosen]}

    def subset(self, indices: Sequence[int] | Tensor) -> Self:
        """The rows at these positions, in the order that they have here."""
        chosen = sorted(torch.as_tensor(indices, dtype=torch.long).tolist())
        batch = self.batch(chosen)
        subjects = tuple(self.subjects[i] for i in chosen)
        return replace(self, source=batch["source"], target=batch["target"], subjects=subjects)

    def split(self, test_size: int, seed: int) -> tuple[Self, Self]:
        """Training and test subjects: a function of the ids and the seed alone.

        Args:
            test_size: Number of test subjects.
            seed: Another seed gives another split.

        Returns:
            (training pairs, test pairs) with no subject in common.

        Raises:
            ValueError: If either side would be empty.
        """
        order = self._shuffled(seed)
        if not 0 < test_size < len(order):
            raise ValueError(f"test_size={test_size} leaves one side empty: there are {len(order)} subjects.")
        return self._of(order[test_size:]), self._of(order[:test_size])

    def folds(self, k: int, seed: int) -> list[tuple[Self, Self]]:
        """Cut into k (training, test) pairs by subject; every subject is in exactly one test set.

        Args:
            k: Number of folds; as many as there are subjects leaves one out at a time.
            seed: Another seed gives other folds.

        Raises:
            ValueError: If k is below 2 or above the number of subjects.
        """
        order = self._shuffled(seed)
        if not 2 <= k <= len(order):
            raise ValueError(f"k={k} folds of {len(order)} subjects are not possible: choose 2 to {len(order)}.")
        parts = [order[fold::k] for fold in range(k)]
        rest = [[subject for subject in order if subject not in set(part)] for part in parts]
        return [(self._of(train), self._of(test)) for train, test in zip(rest, parts, strict=True)]

    def _of(self, subjects: Sequence[str]) -> Self:
        chosen = set(subjects)
        return self.subset([row for row, subject in enumerate(self.subjects) if subject in chosen])

    def _shuffled(self, seed: int) -> list[str]:
        """Subjects in an order that depends on ids and seed alone: by hash, so that no library's generator matters."""
        keys = {subject: hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest() for subject in self.subjects}
        return sorted(keys, key=keys.__getitem__)


def _rows(values: Any, key: str) -> Tensor:
    rows = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    if rows.ndim != 2:
        raise ValueError(f"{key!r} has shape {tuple(rows.shape)}; expected one row of numbers for each subject (S, D).")
    return rows if rows.is_floating_point() else rows.float()
