"""A synthetic world of connectivity of people with and without a diagnosis, with the law of both known.

Person s has a latent vector z, and the covariance of the regions lies around a common mean M = R Rᵀ,

    Σ(z) = R exp(a Σ_k z_k V_k) R,

with fixed symmetric directions V_k. Controls have z ~ N(0, I). With the diagnosis, the first latent is moved by d:
always up with ``"shift"``; up in one half of the people and down in the other with ``"subtypes"``, who have the mean
of the controls. A scan is a number of Gaussian frames; connectivity is the Pearson correlation of the frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import torch
from torch import Tensor

from mmlab.data.correlation import edges
from mmlab.data.tensors import TensorData
from mmlab.wording import nearest, require_at_least

__all__ = ["Diagnosis", "DiagnosisWorld", "diagnosis_world"]

Diagnosis = Literal["shift", "subtypes"]

SCALE = 0.8
"""Scale a of individual differences in the log of the covariance."""
FACTORS = 4
"""Factors that make the mean covariance."""
LATENTS = 5
"""Number of latents K."""
PEOPLE = 400
"""People that the command line trains and tests on."""


@dataclass(frozen=True, eq=False)
class DiagnosisWorld:
    """The law of connectivity given the diagnosis: :meth:`draw` asks it for people as often as one likes.

    Attributes:
        kind: What the diagnosis does to the first latent.
        separation: d.
        frames: Frames of a scan.
        root: (N, N) float64, symmetric root R of the mean covariance.
        directions: (K, N, N) float64, the directions a V_k.
    """

    kind: Diagnosis
    separation: float
    frames: int
    root: Tensor
    directions: Tensor

    @property
    def pairs(self) -> TensorData:
        """Four hundred people, the same ones each time: what ``mmlab train`` takes of this world."""
        return self.draw(PEOPLE, torch.Generator().manual_seed(0))

    def draw(self, count: int, rng: torch.Generator) -> TensorData:
        """New people: ``label`` (count,), 0 and 1 in turn, and ``target``, edges (count, E).

        Args:
            count: Number of people.
            rng: Draws latents and scans.
        """
        require_at_least(count=(count, 1))
        label = torch.arange(count) % 2
        z = torch.randn(count, len(self.directions), generator=rng, dtype=torch.float64)
        sign = torch.randint(0, 2, (count,), generator=rng) * 2.0 - 1 if self.kind == "subtypes" else 1.0
        z[:, 0] += label * sign * self.separation
        factor = self.root @ torch.linalg.matrix_exp(torch.einsum("sk,kij->sij", z, self.directions) / 2)
        size = len(self.root)
        frames = torch.randn(count, size, self.frames, generator=rng, dtype=torch.float64)
        series = factor @ frames  # (count, N, T), of covariance factor factorᵀ = Σ(z)
        series = series - series.mean(-1, keepdim=True)
        series = series / series.norm(dim=-1, keepdim=True)
        return TensorData({"label": label, "target": edges(series @ series.mT).float()})

    def ceiling(self) -> float:
        """Accuracy of the best classifier that knows the latents themselves, without any noise of a scan."""
        d = self.separation
        normal = NormalDist().cdf
        if self.kind == "shift":
            return normal(d / 2)
        # The diagnosis is likelier where cosh(d z) > exp(d²/2), that is where |z| exceeds this:
        edge = (d * d / 2 + math.log1p(math.sqrt(max(0.0, -math.expm1(-d * d))))) / d
        well = 2 * normal(edge) - 1
        ill = 1 - (normal(edge - d) - normal(-edge - d))
        return (well + ill) / 2


def diagnosis_world(
    kind: Diagnosis = "subtypes", regions: int = 16, separation: float = 2.5, frames: int = 200, seed: int = 0
) -> DiagnosisWorld:
    """Make a world. The same arguments make the same world.

    Args:
        kind: ``"shift"`` or ``"subtypes"``.
        regions: N.
        separation: d, by how many standard deviations the diagnosis moves the first latent.
        frames: Frames of a scan, more than regions.
        seed: Seed of mean and directions.

    Raises:
        ValueError: If there is no such kind, or a number is out of its range.
    """
    if kind not in get_args(Diagnosis):
        raise ValueError(f"kind={kind!r} is no diagnosis: {nearest(kind, get_args(Diagnosis))}")
    require_at_least(regions=(regions, 2))
    require_at_least(frames=(frames, regions + 2))
    if not 0 < separation < math.inf:
        raise ValueError(f"separation={separation}: the diagnosis moves a latent by a positive, finite amount.")
    rng = torch.Generator().manual_seed(seed)
    loadings = torch.randn(regions, FACTORS, generator=rng, dtype=torch.float64) / FACTORS**0.5
    values, axes = torch.linalg.eigh(loadings @ loadings.T + 0.5 * torch.eye(regions, dtype=torch.float64))
    draw = torch.randn(LATENTS, regions, regions, generator=rng, dtype=torch.float64)
    directions = SCALE * (draw + draw.mT) / (2 * LATENTS * regions) ** 0.5
    return DiagnosisWorld(kind, separation, frames, (axes * values.sqrt()) @ axes.T, directions)
