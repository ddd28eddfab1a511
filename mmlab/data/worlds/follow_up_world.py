"""A disease that is seen now and again later: an image, some clinical variables, and grades at several visits.

Hidden are the grade now, y_0 (0 to 3), and a risk r (low or high, equally often). From visit to visit the grade goes up
by one with a chance that depends on the risk, and never down:

    P(y_{t+1} = y_t + 1) = p_r,    P(y_{t+1} = y_t) = 1 - p_r,    grade 3 stays.

The image shows the grade now, x = M[y_0] + σ ε with one pattern M for each grade. Clinical variable j shows the risk,
c_j ~ N(±δ_j, 1), and is missing for some people. Later visits are missing more and more often. Given image and
variables, the grades have exact probabilities,

    P(y_t | x, c) = Σ_{y_0, r} P(y_0 | x) P(r | c) (A_r)^t [y_0, y_t],

with the transition matrix A_r: :meth:`FollowUpWorld.posterior`. They are perfectly calibrated, and later visits are
harder by nature, not by a fault of a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["GRADES", "FollowUpWorld", "follow_up_world"]

GRADES = 4
_NOW = (0.35, 0.3, 0.2, 0.15)
_RISES = (0.08, 0.55)
_SHIFTS = (0.8, 0.6, 0.5, 0.4, 0.0)
_ABSENT = (0.0, 0.2, 0.4, 0.6)
_SIDE = 8


@dataclass(frozen=True, eq=False)
class FollowUpWorld:
    """The law of image, clinical variables and grades: :meth:`draw` asks it for people as often as one likes.

    Attributes:
        patterns: M, (grades, 64) float64.
        noise: σ.
    """

    patterns: Tensor
    noise: float

    @property
    def pairs(self) -> TensorData:
        """Five hundred people, the same ones each time: what ``mmlab train`` takes of this world."""
        return self.draw(500, 0)

    def draw(self, count: int, seed: int = 0, held_out: int = 0) -> TensorData:
        """New people.

        Args:
            count: Number of people N.
            seed: Seed of the people.
            held_out: How many of them, the last ones, are marked as held out.

        Returns:
            ``image`` (N, 1, 8, 8), ``clinical`` (N, 5) with ``clinical_known`` (N, 5), ``grade`` (N, 4) at the visits
            0 to 3 with ``grade_seen`` (N, 4), and ``held_out`` (N,). A missing grade holds -1, a missing variable 0.
        """
        require_at_least(count=(count, 1))
        rng = torch.Generator().manual_seed(seed)
        grade = torch.multinomial(torch.tensor(_NOW), count, replacement=True, generator=rng)
        risk = torch.randint(0, 2, (count,), generator=rng)
        noise = torch.randn(count, _SIDE**2, generator=rng, dtype=torch.float64)
        image = (self.patterns[grade] + self.noise * noise).float().view(count, 1, _SIDE, _SIDE)
        shifts = torch.tensor(_SHIFTS)
        clinical = (2 * risk[:, None] - 1) * shifts + torch.randn(count, len(shifts), generator=rng)
        known = torch.rand(clinical.shape, generator=rng) >= 0.2
        grades = [grade]
        for _ in _ABSENT[1:]:
            rises = torch.rand(count, generator=rng) < torch.tensor(_RISES)[risk]
            grades.append((grades[-1] + rises.long()).clamp(max=GRADES - 1))
        seen = torch.rand(count, len(_ABSENT), generator=rng) >= torch.tensor(_ABSENT)
        return TensorData(
            {
                "image": image,
                "clinical": torch.where(known, clinical, 0),
                "clinical_known": known,
                "grade": torch.where(seen, torch.stack(grades, 1), -1),
                "grade_seen": seen,
                "held_out": torch.arange(count) >= count - held_out,
            }
        )

    def posterior(self, batch: dict[str, Tensor]) -> Tensor:
        """Exact probabilities (N, 4 visits, 4 grades) float64 of the grades, given image and known variables."""
        x = batch["image"].flatten(1).double()
        distance = torch.cdist(x, self.patterns).square()  # (N, grades)
        now = (torch.tensor(_NOW).double().log() - distance / (2 * self.noise**2)).softmax(1)
        shifts = torch.tensor(_SHIFTS).double()
        odds = 2 * (batch["clinical"].double() * shifts * batch["clinical_known"]).sum(1)
        high = torch.sigmoid(odds)
        visits = [now]
        low_part, high_part = now * (1 - high[:, None]), now * high[:, None]
        for _ in _ABSENT[1:]:
            low_part, high_part = low_part @ _transition(_RISES[0]), high_part @ _transition(_RISES[1])
            visits.append(low_part + high_part)
        return torch.stack(visits, 1)


def follow_up_world(noise: float = 0.8, seed: int = 0) -> FollowUpWorld:
    """Make a world. The same arguments make the same world.

    Args:
        noise: σ, of every pixel.
        seed: Seed of the patterns.

    Raises:
        ValueError: If the noise is not positive.
    """
    if not (math.isfinite(noise) and noise > 0):
        raise ValueError(f"noise={noise} must be a positive number.")
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(GRADES, 1, 4, 4, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(_SIDE, _SIDE), mode="bilinear", align_corners=True)
    return FollowUpWorld(0.45 * smooth.flatten(1).double(), noise)


def _transition(rises: float) -> Tensor:
    matrix = (1 - rises) * torch.eye(GRADES, dtype=torch.float64)
    matrix += rises * torch.diag(torch.ones(GRADES - 1, dtype=torch.float64), 1)
    matrix[-1, -1] = 1
    return matrix
