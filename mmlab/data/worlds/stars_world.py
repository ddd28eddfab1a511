"""Drawn variable stars in three modalities: a folded light curve, a spectrum, and a row of a catalogue.

A star is of one of six classes c, each as likely. It has an amplitude a, one of three, and a temperature
t ~ N(m_c, 1). Then

    light curve   l = a · shape_c, turned by a random phase, + σ_l ε          (64 phases)
    spectrum      s = t · slope + lines_c, moved by a random velocity, + σ_s ε  (64 wavelengths)
    metadata      (t + ε, 2 a + ε, p_c + ε, q_c + ε, ε, ε)                     (6 numbers)

So light curve and metadata share the amplitude besides the class, spectrum and metadata the temperature, and light
curve and spectrum the class alone. Phase and velocity tell nothing of the class and hide it from a line. All of
it can be integrated: :meth:`StarsWorld.posterior` gives the probabilities of the classes for any modalities, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["CLASSES", "MODALITIES", "StarsWorld", "shapes", "stars_world"]

CLASSES = ("sawtooth pulsator", "round pulsator", "detached binary", "contact binary", "bumpy pulsator", "double wave")
"""What the shapes of the light curves look like; the names are of this world."""

MODALITIES = ("light", "spectrum", "metadata")

_BINS = 64
_AMPLITUDES = (0.6, 1.0, 1.4)
_SHIFTS = (-3, -2, -1, 0, 1, 2, 3)
_TEMPERATURE = (0.6, 0.9, -0.9, -0.6, 1.2, -1.2)
_PERIOD = (0.5, -0.5, 1.0, -1.0, -1.6, 1.6)
_FOURTH = (0.8, -0.8, 0.0, 0.8, -0.8, 0.0)
_LINES = ((8, 22, 40), (8, 30, 40), (14, 22, 52), (14, 30, 52), (8, 46, 58), (14, 46, 58))


def shapes() -> Tensor:
    """Light curves of the classes at amplitude 1, (6, 64): mean 0 and mean square 1."""
    x = torch.arange(_BINS) / _BINS
    turn = 2 * math.pi * x

    def dip(at: float, width: float) -> Tensor:
        apart = (x - at + 0.5) % 1 - 0.5
        return -torch.exp(-(apart / width).square() / 2)

    rise = torch.where(x < 0.15, x / 0.15, (1 - x) / 0.85)
    made = [
        rise,
        turn.sin(),
        dip(0.25, 0.04) + 0.5 * dip(0.75, 0.04),
        (2 * turn).cos() + 0.3 * turn.cos(),
        rise + 0.5 * torch.exp(-((x - 0.6) / 0.06).square() / 2),
        turn.sin() + 0.6 * (2 * turn + 1).sin(),
    ]
    each = torch.stack(made)
    each = each - each.mean(1, keepdim=True)
    return each / each.square().mean(1, keepdim=True).sqrt()


def _lines() -> Tensor:
    """Absorption lines of the classes, (6, 64), all negative."""
    x = torch.arange(_BINS)
    each = [sum(-torch.exp(-((x - at) / 1.2).square() / 2) for at in places) for places in _LINES]
    return torch.stack([torch.as_tensor(one) for one in each])


def _slope() -> Tensor:
    """How a spectrum tilts with temperature, (64,)."""
    return torch.linspace(-1, 1, _BINS) * 0.6


@dataclass(frozen=True, eq=False)
class StarsWorld:
    """The law of stars; :meth:`draw` makes as many as one likes.

    Attributes:
        light_noise: σ_l.
        spectrum_noise: σ_s.
        metadata_noise: Deviation of what is added to the first four numbers of the metadata.
        items: Stars that :attr:`pairs` has.
        seed: Seed of them.
    """

    light_noise: float
    spectrum_noise: float
    metadata_noise: float
    items: int
    seed: int

    @cached_property
    def pairs(self) -> TensorData:
        """The training stars."""
        return self.draw(self.items, self.seed)

    def draw(self, count: int, seed: int = 0) -> TensorData:
        """Stars, always the same ones for the same arguments.

        Args:
            count: N.
            seed: Seed.

        Returns:
            ``light`` (N, 1, 64), ``spectrum`` (N, 1, 64), ``metadata`` (N, 6), ``label`` (N,); and what is hidden,
            ``amplitude`` (N,), the number of the amplitude, and ``temperature`` (N,).
        """
        rng = torch.Generator().manual_seed(seed)
        label = torch.randint(len(CLASSES), (count,), generator=rng)
        which = torch.randint(len(_AMPLITUDES), (count,), generator=rng)
        amplitude = torch.tensor(_AMPLITUDES)[which]
        temperature = torch.tensor(_TEMPERATURE)[label] + torch.randn(count, generator=rng)
        phase = torch.randint(_BINS, (count,), generator=rng)
        velocity = torch.tensor(_SHIFTS)[torch.randint(len(_SHIFTS), (count,), generator=rng)]
        light = amplitude[:, None] * _turned(shapes()[label], phase)
        spectrum = temperature[:, None] * _slope() + _turned(_lines()[label], velocity)
        noise = torch.randn(3, count, _BINS, generator=rng)
        told = torch.stack([temperature, 2 * amplitude, torch.tensor(_PERIOD)[label], torch.tensor(_FOURTH)[label]], 1)
        metadata = torch.cat([told + self.metadata_noise * noise[2, :, :4], noise[2, :, 4:6]], 1)
        return TensorData(
            {
                "light": (light + self.light_noise * noise[0])[:, None],
                "spectrum": (spectrum + self.spectrum_noise * noise[1])[:, None],
                "metadata": metadata,
                "label": label,
                "amplitude": which,
                "temperature": temperature,
            }
        )

    def posterior(self, batch: Mapping[str, Tensor], parts: Sequence[str] = MODALITIES) -> Tensor:
        """Probabilities of the classes (N, 6) float64, given some of the modalities.

        Phase, velocity and amplitude are summed over, the temperature is integrated.

        Args:
            batch: As :meth:`draw` gives it.
            parts: Which of :data:`MODALITIES` are looked at.
        """
        count, k = len(batch["metadata"]), len(CLASSES)
        metadata = batch["metadata"].double()
        variance = self.metadata_noise**2
        amplitudes = torch.tensor(_AMPLITUDES, dtype=torch.float64)
        by_amplitude = torch.zeros(count, k, len(amplitudes), dtype=torch.float64)
        if "light" in parts:
            turned = torch.stack([shapes().double().roll(shift, 1) for shift in range(_BINS)], 1)  # (6, 64, 64)
            along = torch.einsum("nt,kft->nkf", batch["light"][:, 0].double(), turned)
            for i, a in enumerate(amplitudes):
                fit = (a * along - a.square() * _BINS / 2) / self.light_noise**2
                by_amplitude[:, :, i] += fit.logsumexp(2)
        if "metadata" in parts:
            by_amplitude = by_amplitude - (metadata[:, 1:2] - 2 * amplitudes).square()[:, None] / (2 * variance)
        total = by_amplitude.logsumexp(2)
        if "metadata" in parts:
            for column, means in ((2, _PERIOD), (3, _FOURTH)):
                apart = metadata[:, column, None] - torch.tensor(means, dtype=torch.float64)
                total = total - apart.square() / (2 * variance)
        return (total + self._temperature(batch, parts)).softmax(1)

    def _temperature(self, batch: Mapping[str, Tensor], parts: Sequence[str]) -> Tensor:
        """Log evidence (N, 6) of spectrum and first number of the metadata, up to what all classes share."""
        mean = torch.tensor(_TEMPERATURE, dtype=torch.float64)[:, None]  # (6, 1)
        precision, pull = torch.ones((), dtype=torch.float64), mean
        rest = mean.square() / 2
        if "metadata" in parts:
            colour = batch["metadata"][:, 0].double()[:, None, None]
            precision = precision + 1 / self.metadata_noise**2
            pull = pull + colour / self.metadata_noise**2
        if "spectrum" in parts:
            moved = torch.stack([_lines().double().roll(shift, 1) for shift in _SHIFTS], 1)  # (6, 7, 64)
            left = batch["spectrum"][:, 0].double()[:, None, None] - moved  # (N, 6, 7, 64)
            slope, variance = _slope().double(), self.spectrum_noise**2
            precision = precision + slope.square().sum() / variance
            pull = pull + left @ slope / variance
            rest = rest + left.square().sum(3) / (2 * variance)
        told = pull.square() / (2 * precision) - rest  # (6, 1) or (N, 6, 1 or 7)
        return told.logsumexp(-1)


def _turned(x: Tensor, by: Tensor) -> Tensor:
    """Each row (N, T) rolled to the right by its own number."""
    places = (torch.arange(x.shape[1]) - by[:, None]) % x.shape[1]
    return x.gather(1, places)


def stars_world(
    items: int = 2000,
    light_noise: float = 1.4,
    spectrum_noise: float = 0.6,
    metadata_noise: float = 0.6,
    seed: int = 0,
) -> StarsWorld:
    """Make a world. The same arguments make the same one.

    Args:
        items: Stars of the training part.
        light_noise: σ_l.
        spectrum_noise: σ_s.
        metadata_noise: Deviation of the numbers in the catalogue.
        seed: Seed of the training part.

    Raises:
        ValueError: If there is no star, or a noise is not positive.
    """
    require_at_least(items=(items, 1))
    if min(light_noise, spectrum_noise, metadata_noise) <= 0:
        raise ValueError(
            f"stars_world: light_noise={light_noise}, spectrum_noise={spectrum_noise}, "
            f"metadata_noise={metadata_noise} must all be positive."
        )
    return StarsWorld(light_noise, spectrum_noise, metadata_noise, items, seed)
