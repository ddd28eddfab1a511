"""Bridge matching: learn the drift of a diffusion that carries one distribution to another.

Time 0 is the source (rest), time 1 the target (motor task). A reference diffusion dX = √β_t dW is pinned at both
ends of each training pair; a network learns the average drift of these bridges. Symbols: σ_t² = ∫₀ᵗ β is the
variance from the start, σ̄_t² = ∫ₜ¹ β the variance to the end, S = σ_t² + σ̄_t² their constant sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion.reference import Reference, Schedule, like
from mmlab.method import Batch, Method
from mmlab.nn.mlp import FiLMPerceptron, RefiningPerceptron
from mmlab.nn.unet import LARGEST_ATTENTION, UNet

Parametrisation = Literal["endpoint", "displacement", "noise", "drift"]
Sampler = Literal["posterior", "euler", "ode"]
MARGIN = 1e-3
"""The network is trained on times in [MARGIN, 1 - MARGIN] and never asked outside: the drift is singular at t = 1."""


def bridge_moments(reference: Reference, x0: Tensor, x1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the reference, pinned to x0 at time 0 and to x1 at time 1.

    Args:
        reference: The reference diffusion.
        x0: Sources, shape (B, ...).
        x1: Targets, of the same shape.
        t: Times in [0, 1] that broadcast against them.

    Returns:
        Mean, of the shape of the ends, and variance, of the shape of t.
    """
    start, end = reference.from_start(t), reference.to_end(t)
    total = start + end
    return (end * x0 + start * x1) / total, start * end / total  # Eq. (1)


def bridge_drift(reference: Reference, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """Drift that steers the reference from x at time t < 1 into x1 at time 1 (Doob's h-transform)."""
    return reference.beta(t) * (x1 - x) / reference.to_end(t)  # Eq. (2)


def velocity(reference: Reference, x: Tensor, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """Velocity of the probability-flow ODE, 0 < t < 1, with the ends' expectations given X_t = x for x0 and x1."""
    forward = bridge_drift(reference, x, x1, t)
    backward = reference.beta(t) * (x0 - x) / reference.from_start(t)
    return (forward - backward) / 2  # Eq. (7)


def from_endpoint(kind: Parametrisation, reference: Reference, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """What a network of this parametrisation should put out if the endpoint is x1."""
    if kind == "endpoint":
        return x1
    if kind == "displacement":
        return x1 - x
    if kind == "noise":
        return (x - x1) / reference.to_end(t).sqrt()
    return bridge_drift(reference, x, x1, t)


def to_endpoint(kind: Parametrisation, reference: Reference, x: Tensor, output: Tensor, t: Tensor) -> Tensor:
    """The endpoint that a network's output means: the inverse of :func:`from_endpoint`."""
    if kind == "endpoint":
        return output
    if kind == "displacement":
        return x + output
    if kind == "noise":
        return x - reference.to_end(t).sqrt() * output
    return x + output * reference.to_end(t) / reference.beta(t)


def euler_step(reference: Reference, x: Tensor, x1: Tensor, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Euler-Maruyama from time s to t for the drift towards x1: an approximation that is good for small steps."""
    step = t - s
    return x + step * bridge_drift(reference, x, x1, s) + (reference.beta(s) * step).sqrt() * noise  # Eq. (5)


def posterior_step(reference: Reference, x: Tensor, x1: Tensor, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Draw X_t from the bridge given X_s = x and X₁ = x1. Exact for any s < t <= 1; at t = 1 it returns x1."""
    now, then = reference.to_end(s), reference.to_end(t)
    mean = (then * x + (now - then) * x1) / now
    return mean + ((now - then) * then / now).sqrt() * noise  # Eq. (6)


def flow_step(reference: Reference, x: Tensor, x0: Tensor, x1: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Solve the ODE of Eq. (7) from time s to t, both inside (0, 1), for fixed ends: exact, and stable for any step."""
    (mean_s, variance_s), (mean_t, variance_t) = (bridge_moments(reference, x0, x1, time) for time in (s, t))
    return mean_t + (variance_t / variance_s).sqrt() * (x - mean_s)


def network_calls(sampler: Sampler, steps: int) -> int:
    """How often the network runs to draw one batch; the ODE needs two calls a step and one at each end."""
    return 2 * steps + 2 if sampler == "ode" else steps


class BridgeMatching(Method):
    """Bridge matching between paired samples, images or vectors.

    With ``condition_on_source`` the network also sees x0 and the process keeps the pairing of the training data
    (De Bortoli et al. 2023). Without it the process has the right marginals but pairs the ends anew, and the network
    learns both ends, E[X₀ | X_t] and E[X₁ | X_t], since the ODE needs both.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        sigma: Standard deviation that the reference gathers from t = 0 to 1, in units of the data.
        schedule: ``"constant"`` or ``"triangular"``.
        parametrisation: What the network puts out: ``"endpoint"`` x1, ``"displacement"`` x1 - x_t, ``"noise"``
            (x_t - x1) / σ̄_t (Liu et al. 2023, I2SB) or ``"drift"``.
        condition_on_source: Whether the network is given x0.
        dropout: Share of features dropped in training.
        scale: Typical size of a value in the data; the network works in units of it.
        see_time: If False, the network is blind to time; for the experiment that shows what this costs.

    Source:
        Peluchetti 2023; Shi et al. 2023; Liu et al. 2023; De Bortoli et al. 2023.
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
    )

    def __init__(
        self,
        shape: Sequence[int] = (780,),
        width: int = 256,
        depth: int = 2,
        sigma: float = 0.1,
        schedule: Schedule = "constant",
        parametrisation: Parametrisation = "endpoint",
        condition_on_source: bool = True,
        dropout: float = 0.0,
        scale: float = 1.0,
        see_time: bool = True,
    ) -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"sigma is a standard deviation and must be positive, not {sigma}.")
        for value, known in [(schedule, get_args(Schedule)), (parametrisation, get_args(Parametrisation))]:
            if value not in known:
                raise ValueError(f"{value!r} is not one of {', '.join(known)}.")
        self.shape = tuple(shape)
        self.reference = Reference(sigma, schedule)
        self.parametrisation: Parametrisation = parametrisation
        self.condition_on_source = condition_on_source
        self.scale = scale
        inputs, outputs = (2, 1) if condition_on_source else (1, 2)
        self.refines = len(self.shape) == 1 and condition_on_source and parametrisation == "endpoint" and see_time
        self.network: nn.Module
        if self.refines:
            self.network = RefiningPerceptron(self.shape[0], width, depth, dropout=dropout)
        elif len(self.shape) == 1:
            self.network = FiLMPerceptron(inputs, *self.shape, width, depth, outputs, dropout, see_time)
        elif len(self.shape) == 3:
            channels, height, breadth = self.shape
            attention = (height + 3) // 4 * ((breadth + 3) // 4) <= LARGEST_ATTENTION
            self.network = UNet(
                inputs * channels, outputs * channels, width, (1, 2, 4), depth, dropout, attention, see_time
            )
        else:
            raise ValueError(f"shape is (E,) for vectors or (C, H, W) for images, not {self.shape}.")

    def ends(self, x: Tensor, t: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate where the process came from and where it goes.

        Args:
            x: States X_t, shape (B, ...).
            t: Times, shape (B,); clamped to [MARGIN, 1 - MARGIN].
            source: The sources x0; used only with ``condition_on_source``.

        Returns:
            E[X₀ | X_t] and E[X₁ | X_t], each of the shape of x; with ``condition_on_source`` the first is x0 itself.
        """
        t = t.clamp(MARGIN, 1 - MARGIN)
        output = self._output(x, t, source)  # (B, 1 or 2, ...)
        time = like(t, x)
        target = to_endpoint(self.parametrisation, self.reference, x, output[:, 0], time)
        if self.condition_on_source:
            return source, target
        # The reference looks the same backwards, so the start is an endpoint at time 1 - t.
        return to_endpoint(self.parametrisation, self.reference, x, output[:, 1], 1 - time), target

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the network's output at random times of pinned bridges.

        Args:
            batch: ``source`` and ``target``, paired, shape (B, ...).
            rng: Draws the times and the noise of the bridges.
        """
        x0, x1 = batch["source"], batch["target"]
        if x0.shape != x1.shape or tuple(x0.shape[1:]) != self.shape:
            raise ValueError(
                f"source {tuple(x0.shape)} and target {tuple(x1.shape)} must both have shape (B, "
                f"{', '.join(map(str, self.shape))}), the shape that this method was built for."
            )
        t = MARGIN + (1 - 2 * MARGIN) * torch.rand(len(x0), generator=rng, device=x0.device, dtype=x0.dtype)
        time = like(t, x0)
        mean, variance = bridge_moments(self.reference, x0, x1, time)
        noise = torch.randn(x0.shape, generator=rng, device=x0.device, dtype=x0.dtype)
        x = mean + variance.sqrt() * noise  # (B, ...)
        goals = [from_endpoint(self.parametrisation, self.reference, x, x1, time)]
        if not self.condition_on_source:
            goals.append(from_endpoint(self.parametrisation, self.reference, x, x0, 1 - time))
        error = self._output(x, t, x0) - torch.stack(goals, dim=1)  # (B, 1 or 2, ...)
        if self.parametrisation == "drift":  # its variance grows as 1 / σ̄_t²: this weight bounds it
            ends = [self.reference.to_end(time), self.reference.from_start(time)][: len(goals)]
            error = error * (torch.stack(ends, dim=1) / self.reference.sigma**2).sqrt()
        return {"loss": error.square().mean()}  # Eq. (4)

    @torch.no_grad()
    def sample(
        self, source: Tensor, *, steps: int = 20, sampler: Sampler = "posterior", rng: torch.Generator
    ) -> Tensor:
        """Carry sources to samples of the target.

        Args:
            source: Sources x0, shape (B, ...).
            steps: Number of time steps; :func:`network_calls` says how often the network runs. One posterior step
                returns E[X₁ | x0] without any noise: plain regression.
            sampler: ``"posterior"`` (exact bridge steps), ``"euler"`` (Euler-Maruyama) or ``"ode"`` (probability flow
                in Heun's way; it leaves the singular start by one posterior step).
            rng: Draws the noise of the process.

        Returns:
            Samples, of the shape of the sources.
        """
        if steps < 1 or sampler not in get_args(Sampler):
            raise ValueError(f"Sampling needs steps >= 1 and one of {get_args(Sampler)}, not {steps}, {sampler!r}.")

        def noise() -> Tensor:
            return torch.randn(source.shape, generator=rng, device=source.device, dtype=source.dtype)

        def at(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return self.ends(x, t.expand(len(x)), source)

        if sampler == "ode":
            angles = torch.linspace(MARGIN**0.5, torch.pi / 2 - MARGIN**0.5, steps + 1, dtype=torch.float64)
            times = angles.sin().square().to(source)  # the bridge's spread √(t(1-t)) is smooth in the angle
            x = posterior_step(self.reference, source, at(source, times[0])[1], 0 * times[0], times[0], noise())
            for s, t in pairwise(times):
                now = at(x, s)  # as in Heun's method: step, look again, and take the mean of both looks
                then = at(flow_step(self.reference, x, *now, s, t), t)
                x = flow_step(self.reference, x, (now[0] + then[0]) / 2, (now[1] + then[1]) / 2, s, t)
            return at(x, times[-1])[1]
        times = torch.linspace(0, 1, steps + 1, dtype=torch.float64).to(source)
        x = source
        for s, t in pairwise(times):
            target = at(x, s)[1]  # Eq. (3): in place of x1
            if sampler == "posterior":
                x = posterior_step(self.reference, x, target, s, t, noise())
            else:  # the last step ends in the target: noise there would only blur it
                x = euler_step(self.reference, x, target, s, t, noise() * (t < 1))
        return x

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Vectors of 12 values whose targets are a fixed rotation of the sources."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(12,), width=32, depth=1, sigma=0.5)
        source = torch.randn(32, 12, generator=rng)
        return method, {"source": source, "target": source.roll(1, dims=1)}

    def _output(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """Run the network on states (B, ...) and times (B,): outputs (B, 1 or 2, ...).

        It is told the share u = σ_t²/S of the variance, not t: in that clock every schedule is the same bridge.
        """
        u = self.reference.from_start(t) / self.reference.sigma**2  # (B,)
        inputs = torch.stack([x, source] if self.condition_on_source else [x], dim=1) / self.scale  # (B, K, ...)
        if self.refines:
            output = self.network(inputs[:, 0], inputs[:, 1], u).unsqueeze(1)
        elif len(self.shape) == 1:
            output = self.network(inputs, u)
        else:
            output = self.network(inputs.flatten(1, 2), u).unflatten(1, (-1, self.shape[0]))
        return output if self.parametrisation == "noise" else self.scale * output
