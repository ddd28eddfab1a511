"""Distributions in the plane on which transport methods are compared: eight Gaussians, moons, an S-curve, a Gaussian.

The scales are those of the configurations of the code of Tong et al. 2024 (torchcfm): eight Gaussians of standard
deviation 1 on a circle of radius 5; scikit-learn's moons with noise 0.05, times two, moved left by one; the first and
third coordinates of scikit-learn's S-curve with noise 0.05, times 1.5. Other code with the same names uses other
scales, and distances are in these units: compare only within one convention.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Literal, get_args

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import nearest

__all__ = ["Planar", "PlanarWorld", "planar_sample", "planar_world"]

Planar = Literal["normal", "eight_gaussians", "moons", "s_curve"]


def planar_sample(name: Planar, count: int, rng: torch.Generator) -> Tensor:
    """Independent points of one of the distributions.

    Args:
        name: Which.
        count: Number of points N.
        rng: The only source of randomness.

    Returns:
        (N, 2).

    Raises:
        ValueError: If there is no such distribution.
    """
    if name not in get_args(Planar):
        raise ValueError(f"name={name!r} is no planar distribution: {nearest(name, get_args(Planar))}")
    noise = torch.randn(count, 2, generator=rng)
    if name == "normal":
        return noise
    if name == "eight_gaussians":
        angles = pi / 4 * torch.randint(8, (count,), generator=rng)
        return 5 * torch.stack([angles.cos(), angles.sin()], 1) + noise
    share = torch.rand(count, generator=rng)
    if name == "moons":
        inner = torch.rand(count, generator=rng) < 0.5
        outer_arc = torch.stack([(pi * share).cos(), (pi * share).sin()], 1)
        inner_arc = torch.stack([1 - (pi * share).cos(), 0.5 - (pi * share).sin()], 1)
        points = torch.where(inner[:, None], inner_arc, outer_arc)
        return 2 * (points + 0.05 * noise) - torch.tensor([1.0, 0.0])
    angles = 3 * pi * (share - 0.5)
    points = torch.stack([angles.sin(), angles.sign() * (angles.cos() - 1)], 1)
    return 1.5 * (points + 0.05 * noise)


@dataclass(frozen=True, eq=False)
class PlanarWorld:
    """Unpaired training points of two distributions, and fresh ones to test with.

    Attributes:
        source: Name of the source.
        target: Name of the target.
        train: Keys ``source`` and ``target``, (N, 2) each; row i of one has nothing to do with row i of the other.
        test: The same with fresh points.
    """

    source: Planar
    target: Planar
    train: TensorData
    test: TensorData


def planar_world(
    source: Planar = "normal",
    target: Planar = "eight_gaussians",
    points: int = 10_000,
    fresh: int = 2000,
    seed: int = 0,
) -> PlanarWorld:
    """Two clouds in the plane, without pairs.

    Args:
        source: Distribution of the sources.
        target: Distribution of the targets.
        points: Training points of each.
        fresh: Test points of each.
        seed: Seed of all points.
    """
    rng = torch.Generator().manual_seed(seed)

    def draw(count: int) -> TensorData:
        return TensorData({"source": planar_sample(source, count, rng), "target": planar_sample(target, count, rng)})

    return PlanarWorld(source, target, draw(points), draw(fresh))
