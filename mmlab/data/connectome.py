"""Functional connectivity: matrices and their edges, regions, and pairs of matrices joined by subject.

A matrix is (N, N): symmetric, with ones on the diagonal and Pearson correlations elsewhere. Its edges are the E =
N(N-1)/2 numbers above the diagonal, row by row; nearly everything here works on those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mmlab.data.correlation import (
    check_correlation,
    edges,
    matrices,
    number_of_regions,
    read_matrix,
    refuse_picture,
)

__all__ = [
    "ConnectomePairs",
    "Regions",
    "check_correlation",
    "edges",
    "matrices",
    "number_of_regions",
    "read_matrix",
    "refuse_picture",
]


@dataclass(frozen=True)
class Regions:
    """The regions of a parcellation.

    Attributes:
        names: One per region.
        networks: One label per region.
        coordinates: (N, 3) in mm, MNI space; None if the source does not give them.
    """

    names: tuple[str, ...]
    networks: tuple[str, ...]
    coordinates: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.networks) != len(self.names):
            raise ValueError(f"There are {len(self.names)} region names but {len(self.networks)} networks.")
        if self.coordinates is not None and tuple(self.coordinates.shape) != (len(self.names), 3):
            shape = tuple(self.coordinates.shape)
            raise ValueError(f"Coordinates of {len(self.names)} regions must be ({len(self.names)}, 3), not {shape}.")

    def __len__(self) -> int:
        return len(self.names)

    def order(self) -> Tensor:
        """Permutation (N,) that puts the regions of a network side by side, networks in alphabetical order."""
        return torch.tensor(sorted(range(len(self)), key=lambda i: (self.networks[i], i)))


@dataclass(frozen=True, eq=False)
class ConnectomePairs:
    """Two matrices of each subject, such as rest and motor, as edges; joined by subject id, never by position.

    Attributes:
        source: (S, E), edges of the state to start from.
        target: (S, E), edges of the state to arrive at; row i is the same person as row i of ``source``.
        subjects: S ids, sorted, each once.
        regions: The N regions, with E = N(N-1)/2.
        source_name: Name of the state to start from, for example ``"rest"``.
        target_name: Name of the state to arrive at.
        acknowledgement: What the source of the data asks to be printed with results; may be empty.
    """

    source: Tensor = field(repr=False)
    target: Tensor = field(repr=False)
    subjects: tuple[str, ...] = field(repr=False)
    regions: Regions = field(repr=False)
    source_name: str = "source"
    target_name: str = "target"
    acknowledgement: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        expected = (len(self.subjects), len(self.regions) * (len(self.regions) - 1) // 2)
        for name, value in (("source", self.source), ("target", self.target)):
            if tuple(value.shape) != expected:
                raise ValueError(f"{name} is {tuple(value.shape)}; its subjects and regions make {expected}.")
        if list(self.subjects) != sorted(set(self.subjects)):
            raise ValueError("Subject ids must be sorted and unique: build the pairs with ConnectomePairs.join.")

    def __len__(self) -> int:
        return len(self.subjects)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"source": self.source[index], "target": self.target[index]}

    def batch(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """The pairs at these positions: ``source`` (B, E) and ``target`` (B, E)."""
        chosen = torch.as_tensor(indices, dtype=torch.long, device=self.source.device)
        return {"source": self.source[chosen], "target": self.target[chosen]}

    def subset(self, indices: Sequence[int] | Tensor) -> ConnectomePairs:
        """The subjects at these positions, in the order of their ids."""
        chosen = sorted(torch.as_tensor(indices, dtype=torch.long).tolist())
        batch = self.batch(chosen)
        subjects = tuple(self.subjects[i] for i in chosen)
        return replace(self, source=batch["source"], target=batch["target"], subjects=subjects)

    def split(self, test_size: int, seed: int) -> tuple[ConnectomePairs, ConnectomePairs]:
        """Training and test subjects: a function of the ids and the seed alone.

        Args:
            test_size: Number of test subjects.
            seed: Another seed gives another split.

        Returns:
            (training pairs, test pairs) with no subject in common.

        Raises:
            ValueError: If either side would be empty.
        """
        if not 0 < test_size < len(self):
            raise ValueError(f"test_size={test_size} leaves one side empty: there are {len(self)} subjects.")
        order = _shuffled(self.subjects, seed)
        return self.subset(order[test_size:]), self.subset(order[:test_size])

    def folds(self, k: int, seed: int) -> list[tuple[ConnectomePairs, ConnectomePairs]]:
        """Cut into k (training, test) pairs by subject; every subject is in exactly one test set.

        Raises:
            ValueError: If k is below 2 or above the number of subjects.
        """
        if not 2 <= k <= len(self):
            raise ValueError(f"k={k} folds of {len(self)} subjects are not possible: choose 2 to {len(self)}.")
        order = _shuffled(self.subjects, seed)
        parts = [order[fold::k] for fold in range(k)]
        rest = [[i for i in order if i not in set(part)] for part in parts]
        return [(self.subset(train), self.subset(test)) for train, test in zip(rest, parts, strict=True)]

    @classmethod
    def join(
        cls,
        source: Mapping[str, ArrayLike | Tensor],
        target: Mapping[str, ArrayLike | Tensor],
        regions: Regions,
        *,
        source_name: str = "source",
        target_name: str = "target",
        strict: bool = True,
        acknowledgement: str = "",
    ) -> ConnectomePairs:
        """Pair the matrices of two states by subject id.

        Args:
            source: Matrix (N, N) of each subject in the first state.
            target: Matrix (N, N) of each subject in the second state.
            regions: The N regions.
            source_name: Name of the first state, for messages and figures.
            target_name: Name of the second state.
            strict: Refuse subjects without a partner; if False, leave them out.
            acknowledgement: What the source of the data asks to be printed with results.

        Returns:
            The pairs, subjects sorted by id, edges in float32.

        Raises:
            ValueError: If a subject has no partner, or a matrix is not a correlation matrix.
        """
        alone = [(s, target_name) for s in source if s not in target]
        alone += [(s, source_name) for s in target if s not in source]
        if alone and strict:
            subject, missing = min(alone)
            raise ValueError(
                f"Subject {subject} has no {missing} matrix ({len(alone)} subjects lack a partner): "
                "add the file, or pass strict=False to leave such subjects out."
            )
        subjects = tuple(sorted(set(source) & set(target)))
        if not subjects:
            raise ValueError(f"No subject has both a {source_name} and a {target_name} matrix: compare the ids.")
        sides = []
        for state, side in ((source_name, source), (target_name, target)):
            checked = [check_correlation(side[s], f"{state} matrix of subject {s}", len(regions)) for s in subjects]
            sides.append(edges(torch.stack(checked)).float())
        return cls(sides[0], sides[1], subjects, regions, source_name, target_name, acknowledgement)


def _shuffled(subjects: Sequence[str], seed: int) -> list[int]:
    """Positions in an order that depends on ids and seed alone: by hash, so that no library's generator matters."""
    keys = [hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest() for subject in subjects]
    return sorted(range(len(subjects)), key=lambda i: keys[i])
