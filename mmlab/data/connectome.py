"""Functional connectivity: matrices and their edges, regions, and pairs of matrices joined by subject.

A matrix is (N, N): symmetric, with ones on the diagonal and Pearson correlations elsewhere. Its edges are the E =
N(N-1)/2 numbers above the diagonal, row by row; nearly everything here works on those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mmlab.data.correlation import (
    Kind,
    check_correlation,
    check_matrix,
    edges,
    matrices,
    number_of_regions,
    read_matrix,
    refuse_picture,
)
from mmlab.data.pairs import Pairs
from mmlab.data.regions import Regions, as_named
from mmlab.data.subjects import by_subject, likeness, subject_id
from mmlab.wording import few, repeated

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


@dataclass(frozen=True, eq=False)
class ConnectomePairs(Pairs):
    """Two matrices of each subject, such as rest and motor, as edges; joined by subject id, never by position.

    The two may be of different parcellations, or of different kinds, such as structure and function.

    Attributes:
        source: (S, D), edges of the state to start from.
        target: (S, E), edges of the state to arrive at; row i is the same person as row i of ``source``.
        subjects: S ids, each once. :meth:`join` sorts them; another order is kept.
        regions: The N regions of the source, with D = N(N-1)/2.
        source_name: Name of the state to start from, for example ``"rest"``.
        target_name: Name of the state to arrive at.
        acknowledgement: What the source of the data asks to be printed with results; may be empty.
        target_regions: The regions of the target, by default those of the source.
    """

    regions: Regions = field(repr=False)
    source_name: str = "source"
    target_name: str = "target"
    acknowledgement: str = field(default="", repr=False)
    target_regions: Regions = field(default=None, repr=False)  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        object.__setattr__(self, "subjects", tuple(subject_id(subject) for subject in self.subjects))
        if self.target_regions is None:
            object.__setattr__(self, "target_regions", self.regions)
        sides = (("source", self.source, self.regions), ("target", self.target, self.target_regions))
        for name, value, regions in sides:
            expected = (len(self.subjects), len(regions) * (len(regions) - 1) // 2)
            if tuple(value.shape) != expected:
                hint = ""
                if name == "target" and len(self.source) == len(self.target) == len(self.subjects):
                    hint = " If the two are of different parcellations, pass target_regions."
                raise ValueError(f"{name} is {tuple(value.shape)}; its subjects and regions make {expected}.{hint}")
        if len(set(self.subjects)) < len(self.subjects):
            twice = repeated(self.subjects)[0]
            raise ValueError(f"Subject ids must be unique, and {twice} stands twice: take the mean of several scans.")

    @classmethod
    def join(
        cls,
        source: Mapping[Any, ArrayLike | Tensor],
        target: Mapping[Any, ArrayLike | Tensor],
        regions: Regions,
        *,
        source_name: str = "source",
        target_name: str = "target",
        strict: bool = True,
        acknowledgement: str = "",
        target_regions: Regions | None = None,
        kind: Kind = "correlation",
    ) -> ConnectomePairs:
        """Pair the matrices of two states by subject id.

        Args:
            source: Matrix (N, N) of each subject in the first state. Ids are texts or whole numbers. The names of a
                data frame of pandas are compared with those of the regions, and put in their order.
            target: Matrix of each subject in the second state.
            regions: The N regions.
            source_name: Name of the first state, for messages and figures.
            target_name: Name of the second state.
            strict: Refuse subjects without a partner; if False, leave them out.
            acknowledgement: What the source of the data asks to be printed with results.
            target_regions: The regions of the second state, if they are others.
            kind: ``"correlation"`` refuses what is no correlation matrix; ``"symmetric"`` takes any symmetric matrix of
                finite numbers, such as counts of fibres, and leaves its diagonal out.

        Returns:
            The pairs, subjects sorted by id, edges in float32.

        Raises:
            ValueError: If a subject has no partner, an id is none, or a matrix is not of the kind.
        """
        first, second = by_subject(source, source_name), by_subject(target, target_name)
        alone = [(s, target_name) for s in first if s not in second]
        alone += [(s, source_name) for s in second if s not in first]
        subjects = tuple(sorted(set(first) & set(second)))
        hint = likeness((s for s in first if s not in second), (s for s in second if s not in first))
        if not subjects:
            ids = f"{few(map(repr, sorted(first)))} and {few(map(repr, sorted(second)))}"
            raise ValueError(
                f"No subject has both a {source_name} and a {target_name} matrix: compare the ids, which are "
                f"{ids}.{hint}"
            )
        if alone and strict:
            subject, missing = min(alone)
            raise ValueError(
                f"Subject {subject} has no {missing} matrix ({len(alone)} subjects lack a partner): "
                f"add the file, or pass strict=False to leave such subjects out.{hint}"
            )
        sides = []
        for state, side, known in ((source_name, first, regions), (target_name, second, target_regions or regions)):
            named = [(side[s], f"{state} matrix of subject {s}", len(known)) for s in subjects]
            checked = [check_matrix(as_named(matrix, known, name), name, count, kind) for matrix, name, count in named]
            sides.append(edges(torch.stack(checked)).float())
        return cls(sides[0], sides[1], subjects, regions, source_name, target_name, acknowledgement,
                   target_regions or regions)  # fmt: skip
