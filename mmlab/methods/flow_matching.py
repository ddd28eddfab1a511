"""Flow matching: learn the velocity of straight lines from sources to targets, and follow it without noise.

Symbols: x0 (source, time 0) and x1 (target, time 1) are the ends of a pair, x_t a point near the line between them, u
the velocity of that line, v the learned field, σ the width of the band about the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.diffusion.coupling import optimal_partners
from mmlab.diffusion.ode import Solver, integrate
from mmlab.diffusion.reference import like
from mmlab.method import Batch, Method
from mmlab.nn.mlp import FiLMPerceptron
from mmlab.nn.unet import LARGEST_ATTENTION, UNet

__all__ = ["Coupling", "FlowMatching", "point_on_path", "straight_velocity"]

Coupling = Literal["independent", "optimal", "paired"]


def point_on_path(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """A point near the line from x0 to x1, all of shape (B, ...); t broadcasts against them."""
    return (1 - t) * x0 + t * x1 + sigma * noise  # Eq. (1)


def straight_velocity(x0: Tensor, x1: Tensor) -> Tensor:
    """Velocity of the line from x0 to x1: the same at all times."""
    return x1 - x0  # Eq. (2)


class FlowMatching(Method):
    """Flow matching between two distributions, images or vectors.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        coupling: Who goes to whom in training: ``"independent"`` (I-CFM: targets are shuffled within the batch),
            ``"optimal"`` (OT-CFM: exact optimal transport within the batch) or ``"paired"`` (the rows of the data).
        sigma: Standard deviation of the noise about the line, in units of the data.
        condition_on_source: Whether the network is given x0 at all times.
        dropout: Share of features dropped in training.
        scale: Typical size of a value in the data; the network works in units of it.
        see_time: If False, the network is blind to time; for the experiment that shows what this costs.

    Source:
        Lipman et al. 2023; Liu et al. 2023; Tong et al. 2024, whose names I-CFM and OT-CFM are.
    """

    card = Card(
        name="Flow matching",
        family="translation",
        paper="tong2024flow",
        summary="Learns the velocity of straight lines between samples, and carries sources along it without noise.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("W2", "Gaussian map", "lower", kind="sanity"),
            Claim("excess energy", "independent coupling", "lower"),
        ),
    )

    def __init__(
        self,
        shape: Sequence[int] = (780,),
        width: int = 256,
        depth: int = 2,
        coupling: Coupling = "independent",
        sigma: float = 0.0,
        condition_on_source: bool = False,
        dropout: float = 0.0,
        scale: float = 1.0,
        see_time: bool = True,
    ) -> None:
        super().__init__()
        if coupling not in get_args(Coupling):
            raise ValueError(f"coupling is one of {', '.join(get_args(Coupling))}, not {coupling!r}.")
        if condition_on_source and coupling != "paired":
            raise ValueError("condition_on_source needs coupling='paired': only a pair says what x0 should become.")
        if sigma < 0:
            raise ValueError(f"sigma is a standard deviation and cannot be {sigma}.")
        self.shape, self.coupling, self.sigma, self.scale = tuple(shape), coupling, sigma, scale
        self.condition_on_source, inputs = condition_on_source, 1 + condition_on_source
        self.network: nn.Module
        if len(self.shape) == 1:
            self.network = FiLMPerceptron(inputs, *self.shape, width, depth, 1, dropout, see_time)
        elif len(self.shape) == 3:
            channels, height, breadth = self.shape
            attention = (height + 3) // 4 * ((breadth + 3) // 4) <= LARGEST_ATTENTION
            self.network = UNet(inputs * channels, channels, width, (1, 2, 4), depth, dropout, attention, see_time)
        else:
            raise ValueError(f"shape is (E,) for vectors or (C, H, W) for images, not {self.shape}.")

    def couple(self, x0: Tensor, x1: Tensor, rng: torch.Generator) -> Tensor:
        """The targets (B, ...) in the order of their sources x0 (B, ...)."""
        if self.coupling == "paired":
            return x1
        if self.coupling == "optimal":
            return x1[optimal_partners(x0, x1)]
        return x1[torch.randperm(len(x1), generator=rng, device=x1.device)]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the velocity at random points of the lines.

        Args:
            batch: ``source`` and ``target``, shape (B, ...); their rows are pairs only if the coupling is "paired".
            rng: Shuffles, and draws the times and the noise.
        """
        x0, x1 = batch["source"], batch["target"]
        if x0.shape != x1.shape or tuple(x0.shape[1:]) != self.shape:
            given = f"source {tuple(x0.shape)} and target {tuple(x1.shape)}"
            raise ValueError(f"{given} must both have shape (B, {', '.join(map(str, self.shape))}).")
        x1 = self.couple(x0, x1, rng)
        t = torch.rand(len(x0), generator=rng, device=x0.device, dtype=x0.dtype)
        noise = torch.randn(x0.shape, generator=rng, device=x0.device, dtype=x0.dtype)
        x = point_on_path(x0, x1, like(t, x0), self.sigma, noise)
        return {"loss": (self.velocity(x, t, x0) - straight_velocity(x0, x1)).square().mean()}  # Eq. (3)

    def velocity(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """The learned field v at states (B, ...) and times (B,); the sources x0 are used only if conditioned on."""
        inputs = torch.stack([x, source] if self.condition_on_source else [x], dim=1) / self.scale  # (B, K, ...)
        return self.scale * (self.network(inputs, t)[:, 0] if x.ndim == 2 else self.network(inputs.flatten(1, 2), t))

    @torch.no_grad()
    def sample(self, source: Tensor, *, steps: int = 20, solver: Solver = "midpoint", rng: torch.Generator) -> Tensor:
        """Carry sources along the field: samples of the same shape.

        Args:
            source: Sources x0, shape (B, ...).
            steps: Number of time steps.
            solver: As in :func:`mmlab.diffusion.ode.integrate`, which says what each costs.
            rng: Draws the noise of the start, as wide as in training; with σ = 0 nothing is random.
        """
        start = source + self.sigma * torch.randn(source.shape, generator=rng, device=source.device, dtype=source.dtype)
        return integrate(lambda x, t: self.velocity(x, t, source), start, steps=steps, solver=solver).end

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Points in 8 dimensions that have to move by 3 and be shrunk to a half."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(8,), width=32, depth=1, coupling="optimal")
        source, target = torch.randn(2, 32, 8, generator=rng)
        return method, {"source": source, "target": 3 + target / 2}
