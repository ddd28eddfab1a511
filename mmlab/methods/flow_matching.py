"""Flow matching: learn the velocity of straight lines from sources to targets, and follow it without noise.

Symbols: x0 (source, time 0) and x1 (target, time 1) are the ends of a pair, x_t a point near the line between them, u
the velocity of that line, v the learned field, σ the width of the band about the line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.diffusion.coupling import optimal_partners
from mmlab.diffusion.ode import Solver, integrate
from mmlab.diffusion.reference import expand_to, noise_like
from mmlab.method import Batch, Draws, Method
from mmlab.nn.field import LinearStart, View, check_pairs, evaluate_field, make_field, read_pairs

__all__ = ["Coupling", "FlowMatching", "point_on_path", "straight_velocity"]

Coupling = Literal["independent", "optimal", "paired"]
Origin = Literal["source", "noise"]


def point_on_path(x0: Tensor, x1: Tensor, t: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """A point near the line from x0 to x1, all of shape (B, ...); t broadcasts against them."""
    return (1 - t) * x0 + t * x1 + sigma * noise  # Eq. (1)


def straight_velocity(x0: Tensor, x1: Tensor) -> Tensor:
    """Velocity of the line from x0 to x1: the same at all times."""
    return x1 - x0  # Eq. (2)


class FlowMatching(Method):
    """Flow matching between two distributions, images or vectors.

    From the source the flow is a map: every source has one target. With ``origin="noise"`` the flow starts from noise
    and only sees the source, so that it can draw any law of the target given the source; its network is then
    preconditioned as in the other methods, see :meth:`start_from`.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        coupling: Who goes to whom in training: ``"independent"`` (I-CFM: targets are shuffled within the batch),
            ``"optimal"`` (OT-CFM: exact optimal transport within the batch) or ``"paired"`` (the rows of the data).
        sigma: Standard deviation of the noise about the line, in units of the data.
        condition_on_source: Whether the network is given x0 at all times.
        dropout: Dropout probability.
        scale: Data scale (standard deviation); the network works in units of it.
        time_conditioning: If False, the network is not conditioned on time, to show what this costs.
        origin: Where the flow starts: ``"source"``, or ``"noise"`` of standard deviation ``scale``, which needs
            ``coupling="paired"`` and ``condition_on_source=True``.
        network: Your own network in place of the built one; see :func:`mmlab.nn.field.make_field`.
        directions: Strong regularisation for few pairs, from noise: in how many principal directions the network sees
            the source. None decides by the number of pairs; see :class:`mmlab.nn.field.LinearStart`.

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
        tags=("brain", "fMRI", "MRI", "connectome", "optimal transport"),
    )
    draws = Draws({"coupling": "paired", "condition_on_source": True, "origin": "noise"})

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 256,
        depth: int = 2,
        coupling: Coupling = "independent",
        sigma: float = 0.0,
        condition_on_source: bool = False,
        dropout: float = 0.0,
        scale: float = 1.0,
        time_conditioning: bool = True,
        origin: Origin = "source",
        network: nn.Module | None = None,
        directions: int | None = None,
    ) -> None:
        super().__init__()
        if coupling not in get_args(Coupling):
            raise ValueError(f"coupling is one of {', '.join(get_args(Coupling))}, not {coupling!r}.")
        if origin not in get_args(Origin):
            raise ValueError(f"origin is one of {', '.join(get_args(Origin))}, not {origin!r}.")
        if condition_on_source and coupling != "paired":
            raise ValueError("condition_on_source needs coupling='paired': only a pair says what x0 should become.")
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma is a standard deviation, finite and not negative: it cannot be {sigma}.")
        if origin == "noise" and (sigma or not condition_on_source):
            raise ValueError("origin='noise' needs coupling='paired', condition_on_source=True and sigma=0.")
        self.shape = tuple(shape)
        self.coupling = coupling
        self.sigma = sigma
        self.condition_on_source = condition_on_source
        self.scale = scale
        self.origin = origin
        inputs = 2 if condition_on_source else 1
        self.network = make_field(
            shape,
            inputs,
            width=width,
            depth=depth,
            dropout=dropout,
            time_conditioning=time_conditioning,
            network=network,
        )
        self.linear = LinearStart(shape, scale, directions)

    def start_from(self, dataset: Any) -> None:
        """From noise: solve the linear regression that the network starts from, unless that was done before.

        Args:
            dataset: Training pairs, with ``len()`` and ``dataset[i]``: ``source`` and ``target``.
        """
        if self.origin == "noise" and not self.linear.started:
            self.linear.start(*read_pairs(dataset))

    def expect(self, source: Tensor) -> Tensor:
        """E[x1 | source] for sources (B, ...): from noise, what the network knows before the flow has begun."""
        return self.linear.expect(source, self.network)

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
        check_pairs(self.shape, source=x0, target=x1)
        x1 = self.couple(x0, x1, rng)
        t = torch.rand(len(x0), generator=rng, device=x0.device, dtype=x0.dtype)
        noise = noise_like(x0, rng)
        if self.origin == "noise":
            t = self.scale / (self.scale + self.linear.noise_ratio(t).sqrt())
        time = expand_to(t, x0)
        if self.origin == "noise":
            begin = self.scale * noise
            x = point_on_path(begin, x1, time, 0.0, noise)
            view, expected, gain = self._view(x, time, x0)
            error = (
                evaluate_field(self.network, view.inputs, view.known)[:, 0]
                - (straight_velocity(begin, x1) - expected) / gain
            )
        else:
            x = point_on_path(x0, x1, time, self.sigma, noise)
            error = self.velocity(x, t, x0) - straight_velocity(x0, x1)
        return {"loss": error.square().mean()}  # Eq. (3)

    def velocity(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """The learned field v at states (B, ...) and times (B,); the sources x0 are used only if conditioned on."""
        if self.origin == "noise":
            view, expected, gain = self._view(x, expand_to(t, x), source)
            return expected + gain * evaluate_field(self.network, view.inputs, view.known)[:, 0]
        inputs = torch.stack([x, source] if self.condition_on_source else [x], dim=1) / self.scale  # (B, K, ...)
        return self.scale * evaluate_field(self.network, inputs, t)[:, 0]

    @torch.no_grad()
    def sample(self, source: Tensor, *, steps: int = 20, solver: Solver = "midpoint", rng: torch.Generator) -> Tensor:
        """Carry sources, or noise that sees them, along the field: samples of the same shape.

        Args:
            source: Sources x0, shape (B, ...).
            steps: Number of time steps.
            solver: As in :func:`mmlab.diffusion.ode.integrate`, which says what each costs.
            rng: Draws the noise of the start, as wide as in training; from sources with σ = 0 nothing is random.
        """
        check_pairs(self.shape, source=source)
        noise = noise_like(source, rng)
        start = self.scale * noise if self.origin == "noise" else source + self.sigma * noise
        with self.linear.hold(source):
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

    def _view(self, x: Tensor, time: Tensor, source: Tensor) -> tuple[View, Tensor, Tensor]:
        """On the way from noise: what the network sees, the velocity expected without it, and how far off that is."""
        view = self.linear.view(x, source, 0 * time, time, (self.scale * (1 - time)).square())
        spread = self.linear.scale * self.linear.spread
        slope = (time * spread**2 - (1 - time) * self.scale**2) / view.total  # of x1 - x0 on the departure
        return view, view.mean + slope * view.departure, self.scale * spread / view.total.sqrt()
