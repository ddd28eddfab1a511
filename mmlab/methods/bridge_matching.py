"""Bridge matching: learn the drift of a diffusion that carries one distribution to another.

Time 0 is the source (rest), time 1 the target (motor task). A reference diffusion dX = √β_t dW is pinned at both
ends of each training pair; a network learns the average drift of these bridges. Symbols: σ_t² = ∫₀ᵗ β is the
variance from the start, σ̄_t² = ∫ₜ¹ β the variance to the end, S = σ_t² + σ̄_t² their constant sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion.bridges import (
    BridgeSampler,
    Output,
    bridge_drift,
    bridge_moments,
    euler_step,
    flow_step,
    from_endpoint,
    posterior_step,
    to_endpoint,
    velocity,
)
from mmlab.diffusion.grids import uniform_grid
from mmlab.diffusion.reference import MARGIN, Reference, Schedule, expand_to, noise_like, times_like
from mmlab.diffusion.steps import heun_step
from mmlab.method import Batch, Draws, Method
from mmlab.nn.field import LinearStart, View, check_pairs, evaluate_field, make_field, read_pairs

__all__ = [
    "MARGIN",
    "BridgeMatching",
    "Parametrisation",
    "bridge_drift",
    "bridge_moments",
    "euler_step",
    "flow_step",
    "from_endpoint",
    "network_calls",
    "posterior_step",
    "to_endpoint",
    "velocity",
]

EDGE = 2 / math.pi * math.asin(MARGIN**0.5)
"""Where training begins and ends on the network's clock: there the state shows MARGIN of the target, or all but it."""
Parametrisation = Literal["endpoint", "displacement", "noise", "drift", "preconditioned"]


def network_calls(sampler: BridgeSampler, steps: int) -> int:
    """How often the network runs to draw one batch; the ODE needs two calls a step and one at each end."""
    return 2 * steps + 2 if sampler == "ode" else steps


class BridgeMatching(Method):
    """Bridge matching between paired samples, images or vectors.

    With ``condition_on_source`` the network also sees x0 and the process keeps the pairing of the training data
    (De Bortoli et al. 2023). Without it the process has the right marginals but pairs the ends anew, and the network
    learns both ends, E[X₀ | X_t] and E[X₁ | X_t], since the ODE needs both.

    By default (``"preconditioned"``) the network predicts what a linear regression of targets on sources leaves open,
    in units of its spread; :meth:`start_from`, which :func:`mmlab.fit` calls, solves that regression. The correction is
    free: it can represent any law of the target given the source. With few pairs for many values, see ``directions``.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        sigma: Standard deviation that the reference gathers from t = 0 to 1, in units of the data.
        schedule: ``"constant"`` or ``"triangular"``.
        parametrisation: What the network predicts: ``"preconditioned"``, ``"endpoint"`` x1, ``"displacement"`` x1 -
            x_t, ``"noise"`` (x_t - x1) / σ̄_t (Liu et al. 2023, I2SB) or ``"drift"``.
        condition_on_source: Whether the network is given x0.
        dropout: Dropout probability.
        scale: Data scale (standard deviation); the network works in units of it.
        time_conditioning: If False, the network is not conditioned on time, to show what this costs.
        network: Your own network in place of the built one; see :func:`mmlab.nn.field.make_field`.
        directions: Strong regularisation for few pairs: in how many principal directions the preconditioned network
            sees the source. None decides by the number of pairs; see :class:`mmlab.nn.field.LinearStart`.

    Source:
        Peluchetti 2023; Shi et al. 2023; Liu et al. 2023; De Bortoli et al. 2023. Preconditioning: Karras et al. 2022.
    """

    card = Card(
        name="Bridge matching",
        family="translation",
        paper="debortoli2023augmented",
        summary="Learns the drift of a diffusion from source samples to target samples by regression.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("RMSE", "mean shift", "lower", kind="sanity"),
            Claim("demeaned r", "mean shift", "higher", kind="sanity"),
            Claim("identification", "mean shift", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2, gpu_minutes=10, gpu_memory_gb=8),
        tags=("brain", "fMRI", "MRI", "connectome", "diffusion"),
    )
    draws: ClassVar[Draws | None] = Draws()

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 256,
        depth: int = 2,
        sigma: float = 0.1,
        schedule: Schedule = "constant",
        parametrisation: Parametrisation = "preconditioned",
        condition_on_source: bool = True,
        dropout: float = 0.0,
        scale: float = 1.0,
        time_conditioning: bool = True,
        network: nn.Module | None = None,
        directions: int | None = None,
    ) -> None:
        super().__init__()
        if parametrisation not in get_args(Parametrisation):
            raise ValueError(
                f"parametrisation={parametrisation!r} is not one of {', '.join(get_args(Parametrisation))}."
            )
        self.shape = tuple(shape)
        self.reference = Reference(sigma, schedule)
        self.parametrisation: Parametrisation = parametrisation
        self.condition_on_source = condition_on_source
        self.preconditioned = condition_on_source and parametrisation == "preconditioned"
        self.predicted: Output = "endpoint" if parametrisation == "preconditioned" else parametrisation
        inputs, outputs = (2, 1) if condition_on_source else (1, 2)
        self.network = make_field(
            shape,
            inputs,
            outputs,
            width=width,
            depth=depth,
            dropout=dropout,
            time_conditioning=time_conditioning,
            network=network,
        )
        self.linear = LinearStart(shape, scale, directions)
        self.scale = scale

    def start_from(self, dataset: Any) -> None:
        """Solve the linear regression that the preconditioned network starts from, unless that was done before.

        Args:
            dataset: Training pairs, with ``len()`` and ``dataset[i]``: ``source`` and ``target``.
        """
        if self.preconditioned and not self.linear.started:
            self.linear.start(*read_pairs(dataset))

    def ends(self, x: Tensor, t: Tensor, source: Tensor, *, network: nn.Module | None = None) -> tuple[Tensor, Tensor]:
        """Estimate where the process came from and where it goes.

        Args:
            x: States X_t, shape (B, ...).
            t: Times, shape (B,); clamped to [MARGIN, 1 - MARGIN].
            source: The sources x0; used only with ``condition_on_source``.
            network: Another network to ask than the method's own.

        Returns:
            E[X₀ | X_t] and E[X₁ | X_t], each of the shape of x; with ``condition_on_source`` the first is x0 itself.
        """
        if self.preconditioned:
            view = self._view(x, self._clock(t), source)
            output = evaluate_field(network or self.network, view.inputs, view.known)[:, 0]
            return source, view.base + view.gain * output
        t = t.clamp(MARGIN, 1 - MARGIN)
        output = self._output(network or self.network, x, t, source)  # (B, 1 or 2, ...)
        time = expand_to(t, x)
        target = to_endpoint(self.predicted, self.reference, x, output[:, 0], time)
        if self.condition_on_source:
            return source, target
        # The reference looks the same backwards, so the start is an endpoint at time 1 - t.
        return to_endpoint(self.predicted, self.reference, x, output[:, 1], 1 - time), target

    def expect(self, source: Tensor) -> Tensor:
        """E[X₁ | x0] for sources (B, ...): what the preconditioned network knows before the process has begun."""
        return self.linear.expect(source, self.network)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the network's output at random times of pinned bridges.

        Args:
            batch: ``source`` and ``target``, paired, shape (B, ...).
            rng: Draws the times and the noise of the bridges.
        """
        return {"loss": self.residuals(batch["source"], batch["target"], rng).square().mean()}  # Eq. (4)

    def residuals(self, x0: Tensor, x1: Tensor, rng: torch.Generator) -> Tensor:
        """What the network misses at random times of bridges from x0 to x1.

        Args:
            x0: Sources, (B, ...).
            x1: Targets, of the same shape.
            rng: Draws the times and the noise of the bridges.

        Returns:
            (B, 1, ...), or (B, 2, ...) without ``condition_on_source``: forward in time, then backward.
        """
        check_pairs(self.shape, source=x0, target=x1)
        t = times_like(x0, rng)
        if self.preconditioned:  # more of them where the state decides what the source leaves open
            t = self._times(EDGE + (1 - 2 * EDGE) * t)
        time = expand_to(t, x0)
        mean, variance = bridge_moments(self.reference, x0, x1, time)  # Eq. (1)
        x = mean + variance.sqrt() * noise_like(x0, rng)  # (B, ...)
        if self.preconditioned:
            view = self._view(x, self._clock(t), x0)
            output = evaluate_field(self.network, view.inputs, view.known)
            return output - ((x1 - view.base) / view.gain).unsqueeze(1)
        goals = [from_endpoint(self.predicted, self.reference, x, x1, time)]
        if not self.condition_on_source:
            goals.append(from_endpoint(self.predicted, self.reference, x, x0, 1 - time))
        error = self._output(self.network, x, t, x0) - torch.stack(goals, dim=1)
        if self.predicted == "drift":  # its variance grows as 1 / σ̄_t²: this weight bounds it
            ends = [self.reference.to_end(time), self.reference.from_start(time)][: len(goals)]
            error = error * (torch.stack(ends, dim=1) / self.reference.sigma**2).sqrt()
        return error

    @torch.no_grad()
    def sample(
        self, source: Tensor, *, steps: int = 20, sampler: BridgeSampler = "posterior", rng: torch.Generator
    ) -> Tensor:
        """Carry sources to samples of the target.

        Args:
            source: Sources x0, shape (B, ...).
            steps: Number of time steps; :func:`network_calls` says how often the network runs. One posterior step
                returns E[X₁ | x0] without any noise: plain regression. With n of them ``"posterior"`` shrinks a
                Gaussian spread about the mean by about 2/n, by a tenth at 20, since each step goes to the endpoint
                expected in place of one drawn. More steps are the remedy.
            sampler: ``"posterior"`` (exact bridge steps; without ``condition_on_source`` few of them shrink the
                spread), ``"euler"`` (Euler-Maruyama; under the triangular schedule its last step overshoots whatever
                the number of steps, see :func:`mmlab.diffusion.bridges.euler_step`) or ``"ode"`` (probability flow by
                Heun's method; it leaves the singular start by one posterior step).
            rng: Draws the noise of the process.

        Returns:
            Samples, of the shape of the sources.
        """
        check_pairs(self.shape, source=source)
        if steps < 1 or sampler not in get_args(BridgeSampler):
            raise ValueError(
                f"Sampling needs steps >= 1 and a sampler of {', '.join(get_args(BridgeSampler))}, "
                f"not steps={steps} and sampler={sampler!r}."
            )

        with self.linear.hold(source):
            return self._walk(source, steps, sampler, rng)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Vectors of 12 values whose targets are a fixed rotation of the sources."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(12,), width=32, depth=1, sigma=0.5)
        source = torch.randn(32, 12, generator=rng)
        return method, {"source": source, "target": source.roll(1, dims=1)}

    def _walk(self, source: Tensor, steps: int, sampler: BridgeSampler, rng: torch.Generator) -> Tensor:
        """The steps of :meth:`sample`."""

        def look(x: Tensor, t: Tensor) -> Tensor:
            return torch.stack(self.ends(x, t.expand(len(x)), source))  # (2, B, ...)

        if sampler == "ode":
            times = self._grid(steps).to(source).clamp(MARGIN, 1 - MARGIN)
            first = look(source, times[0])[1]
            x = posterior_step(self.reference, source, first, 0 * times[0], times[0], noise_like(source, rng))

            def move(x: Tensor, ends: Tensor, s: Tensor, t: Tensor) -> Tensor:
                return flow_step(self.reference, x, ends[0], ends[1], s, t)  # Eq. (7)

            for s, t in pairwise(times):
                x = heun_step(look, move, x, s, t)
            return look(x, times[-1])[1]
        x = source
        for s, t in pairwise(self._grid(steps).to(source)):
            target = self.ends(x, s.expand(len(x)), source)[1]  # Eq. (3): in place of x1 in Eq. (2)
            if sampler == "posterior":
                x = posterior_step(self.reference, x, target, s, t, noise_like(x, rng))  # Eq. (6)
            else:  # the last step ends in the target: noise there would only blur it
                x = euler_step(self.reference, x, target, s, t, noise_like(x, rng) * (t < 1))  # Eq. (5)
        return x

    def _clock(self, t: Tensor) -> Tensor:
        """The share u = σ_t²/S of the variance, which the network is told in place of t.

        In this time parametrisation every schedule is the same bridge.
        """
        return self.reference.from_start(t) / self.reference.sigma**2  # (B,)

    def _times(self, known: Tensor) -> Tensor:
        """Times at which the state shows the share sin²(π/2 · known) of what the source leaves open, 0 <= known <= 1.

        With s² the variance that is open, the state at clock u shows u s² / (u s² + (1 - u) S). So a small σ, whose
        bridges decide early, gets early times.
        """
        share = (known * (torch.pi / 2)).sin().square()
        ratio = self._openness()
        u = share / (share + (1 - share) * ratio)
        if self.reference.schedule == "constant":
            return u
        return torch.where(u < 0.5, (u / 2).sqrt(), 1 - ((1 - u) / 2).sqrt())

    def _openness(self) -> float:
        """s²/S, within what single precision can bear."""
        return min(max(float(self.linear.scale * self.linear.spread / self.reference.sigma) ** 2, 1e-3), 1e3)

    def _grid(self, steps: int) -> Tensor:
        """Times of a sampler's steps, from 0 to 1."""
        return self._times(uniform_grid(steps)) if self.preconditioned else uniform_grid(steps)

    def _view(self, x: Tensor, u: Tensor, source: Tensor) -> View:
        least = MARGIN / (MARGIN + self._openness())  # at u = 0 nothing has a variance yet
        u = expand_to(u, x)
        return self.linear.view(x, source, 1 - u, u, self.reference.sigma**2 * u.clamp_min(least) * (1 - u))

    def _output(self, network: nn.Module, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """What a network predicts for states (B, ...) at times (B,) without a linear start, (B, 1 or 2, ...)."""
        inputs = torch.stack([x, source] if self.condition_on_source else [x], dim=1) / self.scale  # (B, K, ...)
        output = evaluate_field(network, inputs, self._clock(t))
        return output if self.predicted == "noise" else self.scale * output
