"""People with a rhythm in their brain's series and a pattern in its structure, scanned at any repetition time.

A person has one of four rhythms and one of two patterns, and each region r has a strength a_r. The series of a region
is

    x_r(t) = a_r sin(2π f t + φ_r) + noise,

with f near the frequency of the rhythm and a phase of its own; its structure is some values that hold the pattern and,
less loudly, the strength. A scan is sampled every TR seconds, so that a stretch of fixed duration, a *patch*, has more
samples the shorter TR is. Scans differ in length; what is after a scan's end is padding, and is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["DURATION", "FREQUENCIES", "BrainWorld", "brain_world"]

FREQUENCIES = (0.03, 0.05, 0.08, 0.12)
"""Frequencies of the four rhythms, in Hz."""

DURATION = 35.28
"""Seconds that a patch lasts: 48 samples at a repetition time of 0.735 s."""


@dataclass(frozen=True, eq=False)
class BrainWorld:
    """The law of people and scans: :meth:`draw` asks it for some as often as one likes.

    Attributes:
        regions: R.
        patches: N, patches of the longest scan.
        shortest: Patches of the shortest scan.
        noise: Deviation of the noise of a sample.
        pattern: What the structure of each region holds of pattern and strength, (2, R, V).
    """

    regions: int
    patches: int
    shortest: int
    noise: float
    pattern: Tensor

    @property
    def pairs(self) -> TensorData:
        """A thousand people, the same ones each time: what ``mmlab train`` takes of this world."""
        return self.draw(1000, seed=0)

    def draw(self, count: int, seed: int = 0, samples: int = 48) -> TensorData:
        """New people, all scanned at one repetition time.

        Args:
            count: Number of people B.
            seed: Seed of the people; the same people at another repetition time have other noise.
            samples: Samples in a patch; the repetition time is :data:`DURATION` over this.

        Returns:
            ``function`` (B, R, N · samples), ``structure`` (B, R, V), ``samples`` (B,), ``length`` (B,), how many
            samples are no padding, and ``label`` (B,): the rhythm, and four more with the second pattern.
        """
        require_at_least(count=(count, 1), samples=(samples, 2))
        rng = torch.Generator().manual_seed(seed)
        label = torch.randint(2 * len(FREQUENCIES), (count,), generator=rng)
        rhythm, pattern = label % len(FREQUENCIES), label.div(len(FREQUENCIES), rounding_mode="floor")
        frequency = torch.tensor(FREQUENCIES)[rhythm] * (1 + 0.05 * torch.randn(count, generator=rng))
        strength = 1 + 0.25 * torch.randn(count, self.regions, generator=rng)
        phase = 6.2832 * torch.rand(count, self.regions, 1, generator=rng)
        number = torch.randint(self.shortest, self.patches + 1, (count,), generator=rng)
        signs = (2.0 * pattern - 1)[:, None, None]
        structure = signs * self.pattern[0] + (strength - 1)[..., None] * self.pattern[1]
        structure = structure + torch.randn(structure.shape, generator=rng)
        time = torch.arange(self.patches * samples) * (DURATION / samples)
        clean = strength[..., None] * (6.2832 * frequency[:, None, None] * time + phase).sin()
        series = clean + self.noise * torch.randn(clean.shape, generator=rng)
        length = number * samples
        series = torch.where(torch.arange(series.shape[-1]) < length[:, None, None], series, 0)
        return TensorData(
            {
                "function": series,
                "structure": structure,
                "samples": torch.full((count,), samples),
                "length": length,
                "label": label,
            }
        )


def brain_world(
    regions: int = 3, patches: int = 4, shortest: int = 2, noise: float = 1.0, values: int = 6, seed: int = 0
) -> BrainWorld:
    """Make a world. The same arguments make the same world.

    Args:
        regions: R.
        patches: N, patches of the longest scan.
        shortest: Patches of the shortest scan.
        noise: Deviation of the noise of a sample.
        values: V, values of the structure in each region.
        seed: Seed of what the structure holds of pattern and strength.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(
        regions=(regions, 1), patches=(patches, 1), shortest=(shortest, 1), noise=(noise, 0), values=(values, 1)
    )
    if shortest > patches:
        raise ValueError(f"shortest={shortest} is more than patches={patches}: choose at most as many.")
    pattern = torch.randn(2, regions, values, generator=torch.Generator().manual_seed(seed))
    return BrainWorld(regions, patches, shortest, noise, pattern / values**0.5)
