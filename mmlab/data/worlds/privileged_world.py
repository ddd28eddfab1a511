"""Three sensors in training and one afterwards, with the Bayes rate in closed form for any set of sensors.

Six hidden factors z are independent standard normals, two of each *group*. Text sees all groups, audio and
video two each:

    common: text, audio and video,    audio: text and audio,    video: text and video.

A sensor m shows its factors with noise, turned by a random matrix with orthonormal columns,

    x_m = Q_m (z_m + σ_m ε_m),

and text has further directions that mean nothing, with a larger spread than the factors. So given x_m, the factors of
m are independent, and several sensors together see factor k with the precision τ_k = Σ_m 1/σ_m² over those that show
it. The best guess of z_k correlates with z_k by ρ_k = √(τ_k / (1 + τ_k)).

The label is one of four: the signs of two independent directions u and v of unit length. With the dial at the angle θ,

    u = cos θ · common₁ + sin θ · audio₁,    v = cos θ · common₂ + sin θ · video₁,

so at 0 the label lies in what all three share, and at 90 degrees each detector knows one half of it alone. A sensor
sees u with ρ² = cos² θ ρ²_common + sin² θ ρ²_audio, and the best accuracy is

    (½ + asin(ρ_u)/π) (½ + asin(ρ_v)/π).

For text it does not depend on θ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["SENSORS", "PrivilegedWorld", "privileged_world"]

SENSORS = ("audio", "text", "video")
_SEES = {"audio": (0, 1, 2, 3), "text": (0, 1, 2, 3, 4, 5), "video": (0, 1, 4, 5)}
"""Factors of each sensor: 0 and 1 are common, 2 and 3 of the group audio, 4 and 5 of the group video."""


@dataclass(frozen=True, eq=False)
class PrivilegedWorld:
    """The law of three sensors and a label: :meth:`draw` asks it for items as often as one likes.

    Attributes:
        angle: θ in degrees.
        noise: σ of each sensor.
        turns: Q of each sensor, (D, directions) float64.
        clutter: Standard deviation of text's directions without meaning.
    """

    angle: float
    noise: Mapping[str, float]
    turns: Mapping[str, Tensor]
    clutter: float

    @property
    def pairs(self) -> TensorData:
        """A thousand items, every tenth with a label, the same ones each time: what ``mmlab train`` takes."""
        return self.draw(1000, 100, seed=0)

    def draw(self, count: int, labelled: int | None = None, seed: int = 0) -> TensorData:
        """Items of this world, the first of which have a label.

        Args:
            count: Number of items N.
            labelled: How many of them have a label; None for all.
            seed: Seed of the items.

        Returns:
            ``audio`` (N, 8), ``text`` (N, D), ``video`` (N, 8), ``label`` (N,) from 0 to 3, and ``label_present`` (N,).
            Items without a label hold -1.
        """
        known = count if labelled is None else labelled
        require_at_least(count=(count, 1), labelled=(known, 0))
        rng = torch.Generator().manual_seed(seed)
        z = _factors(count, rng)
        tensors: dict[str, Tensor] = {}
        for name in SENSORS:
            turn = self.turns[name]
            seen = z[:, list(_SEES[name])]
            shown = seen + self.noise[name] * torch.randn(seen.shape, generator=rng, dtype=torch.float64)
            rest = torch.randn(count, turn.shape[1] - seen.shape[1], generator=rng, dtype=torch.float64)
            tensors[name] = (torch.cat([shown, self.clutter * rest], 1) @ turn.T).float()
        u, v = (z @ direction for direction in self.directions())
        there = torch.arange(count) < known
        tensors["label"] = torch.where(there, 2 * (u > 0).long() + (v > 0).long(), -1)
        return TensorData(tensors | {"label_present": there})

    def factors(self, count: int, seed: int = 0) -> Tensor:
        """The hidden factors (N, 6) of the items that :meth:`draw` gives for this count and seed: two of each group."""
        return _factors(count, torch.Generator().manual_seed(seed))

    def directions(self) -> tuple[Tensor, Tensor]:
        """U and v among the six factors, (6,) each."""
        near, far = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        u = torch.tensor([near, 0, far, 0, 0, 0], dtype=torch.float64)
        return u, torch.tensor([0, near, 0, 0, far, 0], dtype=torch.float64)

    def bayes_rate(self, sensors: Sequence[str] = ("text",)) -> float:
        """Accuracy of the best classifier that sees these sensors and knows the law; a quarter for none.

        Raises:
            ValueError: If a name is no sensor.
        """
        if unknown := set(sensors) - set(SENSORS):
            raise ValueError(f"This world has the sensors {', '.join(SENSORS)}, not {min(unknown)!r}.")
        precision = torch.zeros(6, dtype=torch.float64)  # τ of each factor
        for name in set(sensors):
            precision[list(_SEES[name])] += self.noise[name] ** -2
        known = precision / (1 + precision)  # ρ² of each factor
        rates = [0.5 + math.asin(math.sqrt(float(d.square() @ known))) / math.pi for d in self.directions()]
        return rates[0] * rates[1]


def privileged_world(
    angle: float = 0.0, clutter_directions: int = 24, clutter: float = 1.3, noise: float = 0.7, seed: int = 0
) -> PrivilegedWorld:
    """Make a world. The same arguments make the same world.

    Args:
        angle: θ in degrees: 0 for a label in what all sensors share, 90 for halves in one detector each.
        clutter_directions: Directions of text that mean nothing.
        clutter: Their standard deviation.
        noise: σ of text; that of audio and video is half a unit.
        seed: Seed of the matrices Q.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(clutter_directions=(clutter_directions, 0))
    if not (0 <= angle <= 90 and math.isfinite(clutter) and clutter >= 0 and math.isfinite(noise) and noise > 0):
        raise ValueError(
            f"angle={angle}, clutter={clutter}, noise={noise}: the angle lies between 0 and 90 degrees, clutter is no "
            "negative number, and noise is positive."
        )
    rng = torch.Generator().manual_seed(seed)
    sizes = {"audio": (8, 4), "text": (6 + clutter_directions,) * 2, "video": (8, 4)}
    draws = {name: torch.randn(size, generator=rng, dtype=torch.float64) for name, size in sizes.items()}
    turns = {name: torch.linalg.qr(draw).Q for name, draw in draws.items()}
    return PrivilegedWorld(angle, {"audio": 0.5, "text": noise, "video": 0.5}, turns, clutter)


def _factors(count: int, rng: torch.Generator) -> Tensor:
    return torch.randn(count, 6, generator=rng, dtype=torch.float64)
