"""Several scans of each of many people, at rest and while moving, with a description in words that is true.

The people are those of :mod:`mmlab.data.worlds.rest_motor_world`. Each is scanned several times: every scan has new
frames of the same person's correlations, so that two scans of one person are more alike than those of two people. The
description tells, for some pairs of networks, how strongly they are coupled *while the person moves*. It is made from
the truth without the noise of any scan, and not told in any picture: of the rest scan it is a prognosis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs
from mmlab.data.correlation import edges, matrices
from mmlab.data.matrix_words import MatrixWords
from mmlab.data.pairs import Pairs
from mmlab.data.regions import Regions
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.wording import require_at_least

__all__ = ["DescribedConnectomes", "described_connectomes"]


@dataclass(frozen=True, eq=False)
class DescribedConnectomes:
    """Scans of people, and what is told of each person.

    Attributes:
        scans: Rest (source) and motor (target) of each of S scans.
        told: (P, E), the motor correlations that a person's description is made from: the truth without noise, or of
            real people the mean of their motor scans.
        regions: The N regions.
        facts: Number of pairs of networks that are told.
        attainable: (P, E), the best possible prediction of the truth from the person's state at rest, where known.
    """

    scans: Pairs
    told: Tensor
    regions: Regions
    facts: int
    attainable: Tensor | None = None

    @classmethod
    def of(cls, scans: ConnectomePairs | Pairs, regions: Regions | None = None, facts: int = 8) -> DescribedConnectomes:
        """The same of anybody's matrices, real ones among them: what is told of people is the mean of their targets.

        Args:
            scans: Two states of each person; :class:`mmlab.data.pairs.Pairs` may hold several scans of one person.
            regions: The regions; pairs of connectomes bring their own.
            facts: Number of pairs of networks to tell.

        Raises:
            ValueError: If the regions are not given, or the edges are not theirs.
        """
        known = regions or getattr(scans, "regions", None)
        if known is None:
            raise ValueError("DescribedConnectomes.of: give regions, whose networks the descriptions name.")
        edge_count = len(known) * (len(known) - 1) // 2
        if {scans.source.shape[1], scans.target.shape[1]} != {edge_count}:
            widths = f"{scans.source.shape[1]} and {scans.target.shape[1]}"
            raise ValueError(f"The scans have {widths} edges, and {len(known)} regions {edge_count}: use one atlas.")
        person = _numbered(scans.subjects)
        total = torch.zeros(int(person.max()) + 1, edge_count).index_add_(0, person, scans.target.float())
        told = total / person.bincount()[:, None]
        return cls(Pairs(scans.source.float(), scans.target.float(), scans.subjects), told, known, facts)

    def __len__(self) -> int:
        return len(self.scans)

    @property
    def person(self) -> Tensor:
        """(S,), number of the person of each scan, in the order in which people first come."""
        return _numbered(self.scans.subjects)

    def by_person(self, test_people: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Rows for training and for the test, with no person in common.

        Args:
            test_people: Number of people in the test part.
            seed: Seed of the choice.

        Raises:
            ValueError: If either side would be empty.
        """
        people = len(self.told)
        if not 0 < test_people < people:
            raise ValueError(f"test_people={test_people} leaves one side empty: there are {people} people.")
        chosen = torch.randperm(people, generator=torch.Generator().manual_seed(seed))[:test_people]
        tested = torch.isin(self.person, chosen)
        return (~tested).nonzero()[:, 0], tested.nonzero()[:, 0]

    def words(self, rows: Tensor) -> MatrixWords:
        """The words that tell people apart, chosen on the people of these rows alone."""
        people = self.person[rows].unique()  # type: ignore[no-untyped-call]
        return MatrixWords.of(self.told[people], self.regions, self.facts)


def _numbered(subjects: Sequence[str]) -> Tensor:
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(subject, len(numbers)) for subject in subjects])


def described_connectomes(
    people: int = 400,
    regions: int = 24,
    scans: int = 3,
    facts: int = 8,
    seed: int = 0,
    rest_frames: int = 600,
    motor_frames: int = 284,
) -> DescribedConnectomes:
    """Draw people, and scan them. The same arguments give the same world.

    Args:
        people: P.
        regions: N, see :func:`mmlab.data.worlds.rest_motor_world.rest_motor_world`.
        scans: Scans of each person.
        facts: Number of pairs of networks that a description tells.
        seed: Seed of everything that is random.
        rest_frames: Frames of a rest scan, more than there are regions.
        motor_frames: Frames of a motor scan, likewise.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(people=(people, 4), scans=(scans, 1), facts=(facts, 1))
    require_at_least(rest_frames=(rest_frames, regions + 1), motor_frames=(motor_frames, regions + 1))
    world = rest_motor_world(people, regions, seed, motor_frames=regions + 2)
    rng = np.random.default_rng(seed)
    rest, motor = (
        _scans(true, frames, scans, rng)
        for true, frames in ((world.pairs.source, rest_frames), (world.true_motor, motor_frames))
    )
    subjects = tuple(subject for subject in world.pairs.subjects for _ in range(scans))
    pairs, best = Pairs(rest, motor, subjects), world.attainable(range(people), draws=32)
    return DescribedConnectomes(pairs, world.true_motor, world.pairs.regions, facts, best)


def _scans(true: Tensor, frames: int, count: int, rng: np.random.Generator) -> Tensor:
    """Edges (P * count, E) of scans of people with these true correlations (P, E).

    The covariance of Gaussian frames has a Wishart distribution with one degree of freedom less than there are frames,
    and is drawn as such (Bartlett 1933), in place of the frames.
    """
    factor = torch.linalg.cholesky(matrices(true.double())).repeat_interleave(count, 0)  # (P * count, N, N)
    size = factor.shape[-1]
    below = np.tril(rng.standard_normal(factor.shape), -1)
    root = np.sqrt(rng.chisquare(frames - 1 - np.arange(size), (len(factor), size)))
    drawn = factor @ torch.from_numpy(below + root[..., None] * np.eye(size))
    drawn = drawn / drawn.norm(dim=-1, keepdim=True)
    return edges(drawn @ drawn.mT).float()
