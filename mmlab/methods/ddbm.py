"""Denoising diffusion bridges (DDBM): a diffusion bridge trained like a denoiser and sampled like a diffusion.

Time 0 is the target, time 1 the source: as in diffusion models, what is wanted lies at 0. Symbols: x_T is the source,
x_0 the target; α_t and σ_t belong to the unpinned diffusion, and a_t, b_t, c_t to the bridge X_t = a x_T + b x_0 + c ε;
D(x, t, x_T) is the denoiser, which expects x_0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion.grids import power_grid
from mmlab.diffusion.reference import MARGIN, expand_to, noise_like, times_like
from mmlab.diffusion.steps import euler_step, heun_step
from mmlab.method import Batch, Draws, Method
from mmlab.nn.field import LinearStart, check_pairs, evaluate_field, make_field, read_pairs

__all__ = ["BETA", "DDBM", "MARGIN", "Bridge", "Schedule", "preconditioning"]

Schedule = Literal["ve", "vp"]
BETA = (0.1, 2.0)
"""Rate of the VP schedule at 0 and its slope, as published."""


@dataclass(frozen=True)
class Bridge:
    """The unpinned diffusion and the bridge that it becomes when both ends are known.

    Attributes:
        schedule: ``"ve"``: α = 1, σ = sigma · t. ``"vp"``: α² + σ² / sigma² = 1, with the rate of :data:`BETA`.
        sigma: Unit of the noise; for VE it is the standard deviation at time 1.
    """

    schedule: Schedule
    sigma: float

    def alpha(self, t: Tensor) -> Tensor:
        """α_t: how much of the target is left."""
        return torch.ones_like(t) if self.schedule == "ve" else (-self._decay(t) / 2).exp()

    def variance(self, t: Tensor) -> Tensor:
        """σ_t²."""
        return self.sigma**2 * (t**2 if self.schedule == "ve" else -torch.expm1(-self._decay(t)))

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a_t, b_t and c_t² of the bridge, of the shape of t."""
        one = torch.ones_like(t)
        alpha, end = self.alpha(t), self.alpha(one)
        share = (self.variance(t) / alpha**2) / (self.variance(one) / end**2)  # SNR_T / SNR_t, from 0 to 1
        return share * alpha / end, alpha * (1 - share), self.variance(t) * (1 - share)  # Eq. (1)

    def drift(self, x: Tensor, t: Tensor) -> Tensor:
        """f(x, t) of the unpinned diffusion."""
        return torch.zeros_like(x) if self.schedule == "ve" else -(BETA[0] + BETA[1] * t) / 2 * x

    def diffusion_squared(self, t: Tensor) -> Tensor:
        """g²(t) of the unpinned diffusion."""
        return self.sigma**2 * (2 * t if self.schedule == "ve" else BETA[0] + BETA[1] * t)

    def grad_log_h(self, x: Tensor, source: Tensor, t: Tensor) -> Tensor:
        """∇ log h = ∇ log p(x_T | x_t = x): Doob's h-transform, which steers the unpinned diffusion to the source."""
        one = torch.ones_like(t)
        ratio, start = self.alpha(t) / self.alpha(one), self.variance(t)
        missing = self.variance(one) * ratio**2 - start  # σ_t² (SNR_t / SNR_T - 1)
        return (ratio * source - x) / missing  # Eq. (3)

    def _decay(self, t: Tensor) -> Tensor:
        return BETA[0] * t + BETA[1] * t**2 / 2


def preconditioning(
    bridge: Bridge, t: Tensor, target: float, source: float, covariance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """c_in, c_skip and c_out: input and residual of the network have variance one, whatever the time.

    Args:
        bridge: The bridge.
        t: Times in (0, 1).
        target: Standard deviation of the targets, σ_0.
        source: Standard deviation of the sources, σ_T.
        covariance: Covariance σ_0T of a target's and its source's values.
    """
    a, b, variance = bridge.coefficients(t)
    total = a**2 * source**2 + b**2 * target**2 + 2 * a * b * covariance + variance
    skip = (b * target**2 + a * covariance) / total
    unexplained = a**2 * (source**2 * target**2 - covariance**2) + target**2 * variance
    return total.rsqrt(), skip, (unexplained / total).sqrt()  # Eq. (4)


class DDBM(Method):
    """Denoising diffusion bridge between paired samples, images or vectors.

    The published preconditioning knows three moments of the data. After :meth:`start_from`, which :func:`mmlab.fit`
    calls, a linear regression of targets on sources takes the source's part out of them: what is left has σ_T = σ_0T =
    0, and σ_0 is the spread that the regression leaves open.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        schedule: ``"ve"`` or ``"vp"``.
        sigma: Unit of the noise, in units of the data.
        target_deviation: Standard deviation of the targets σ_0, for the preconditioning before :meth:`start_from`.
        source_deviation: Standard deviation of the sources σ_T, likewise.
        covariance: Covariance σ_0T of the two, likewise.
        dropout: Dropout probability.
        network: Your own network in place of the built one; see :func:`mmlab.nn.field.make_field`.
        directions: Strong regularisation for few pairs: in how many principal directions the network sees the source.
            None decides by the number of pairs; see :class:`mmlab.nn.field.LinearStart`.

    Source:
        Zhou et al. 2024, "Denoising diffusion bridge models", without guidance and in another time grid.
    """

    card = Card(
        name="Denoising diffusion bridge models (DDBM)",
        family="translation",
        paper="zhou2024ddbm",
        summary="A diffusion bridge between pairs, trained as a preconditioned denoiser, with a hybrid sampler.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("RMSE", "bridge_matching", "lower", kind="sanity"),
            Claim("W1 at equal calls", "Euler-Maruyama", "lower"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2, gpu_minutes=10, gpu_memory_gb=8),
        tags=("brain", "fMRI", "MRI", "connectome", "diffusion"),
        level="advanced",
    )
    draws = Draws()

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 256,
        depth: int = 2,
        schedule: Schedule = "ve",
        sigma: float = 0.5,
        target_deviation: float = 1.0,
        source_deviation: float = 1.0,
        covariance: float = 0.5,
        dropout: float = 0.0,
        network: nn.Module | None = None,
        directions: int | None = None,
    ) -> None:
        super().__init__()
        if schedule not in get_args(Schedule):
            raise ValueError(f"schedule={schedule!r} must be one of {get_args(Schedule)}.")
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma={sigma}: the unit of the noise must be positive and finite.")
        for name, value in (("target_deviation", target_deviation), ("source_deviation", source_deviation)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name}={value}: a standard deviation must be positive and finite.")
        if not covariance**2 < target_deviation**2 * source_deviation**2:
            raise ValueError(
                f"covariance={covariance} is impossible for deviations {target_deviation} and {source_deviation}: "
                "measure all three on the same training pairs."
            )
        self.shape = tuple(shape)
        self.bridge = Bridge(schedule, sigma)
        self.moments = target_deviation, source_deviation, covariance
        self.network = make_field(shape, 2, width=width, depth=depth, dropout=dropout, network=network)
        self.linear = LinearStart(shape, directions=directions)

    def start_from(self, dataset: Any) -> None:
        """Solve the linear regression that the network starts from, unless that was done before.

        Args:
            dataset: Training pairs, with ``len()`` and ``dataset[i]``: ``source`` and ``target``.
        """
        if not self.linear.started:
            self.linear.start(*read_pairs(dataset))

    def expect(self, source: Tensor) -> Tensor:
        """E[x_0 | x_T] for sources (B, ...): what the preconditioned network knows before the process has begun."""
        return self.linear.expect(source, self.network)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the denoiser, weighted by 1 / c_out², at random times of pinned bridges.

        Args:
            batch: ``source`` and ``target``, paired, shape (B, ...).
            rng: Draws times and noise.
        """
        source, target = batch["source"], batch["target"]
        check_pairs(self.shape, source=source, target=target)
        t = times_like(source, rng)
        a, b, variance = self.bridge.coefficients(expand_to(t, source))  # Eq. (1)
        x = a * source + b * target + variance.sqrt() * noise_like(source, rng)
        clean, c_out = self._denoised(x, t, source)
        return {"loss": ((clean - target) / c_out).square().mean()}  # Eq. (5)

    def denoise(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """D(x, t, x_T) = E[x_0 | x_t = x, x_T] for states and sources (B, ...) and times (B,)."""
        return self._denoised(x, t, source)[0]

    def score(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """∇ log q(x_t | x_T) at states (B, ...), for one time t."""
        a, b, variance = self.bridge.coefficients(t)
        clean = self.denoise(x, t.expand(len(x)), source)
        return (a * source + b * clean - x) / variance  # Eq. (2)

    @torch.no_grad()
    def sample(self, source: Tensor, *, steps: int = 10, churn: float = 0.33, rng: torch.Generator) -> Tensor:
        """Carry sources to samples of the target with the hybrid sampler.

        The network runs 3 · steps + 2 times, or 2 · steps + 2 without churn.

        Args:
            source: Sources x_T, shape (B, ...).
            steps: Number of steps N. In each, a fraction ``churn`` is an Euler-Maruyama step, the rest a Heun step.
            churn: That fraction, in [0, 1). With 0 nothing is random, and every source has one answer.
            rng: Draws the noise.

        Returns:
            Samples, of the shape of the sources.
        """
        check_pairs(self.shape, source=source)
        if steps < 1 or not 0 <= churn < 1:
            raise ValueError(f"Sampling needs steps >= 1 and a churn in [0, 1), not steps={steps} and churn={churn}.")
        with self.linear.hold(source):
            return self._walk(source, steps, churn, rng)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Vectors of 12 values whose targets are a fixed rotation of the sources."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(12,), width=32, depth=1, covariance=0.0)
        source = torch.randn(32, 12, generator=rng)
        return method, {"source": source, "target": source.roll(1, dims=1)}

    def _walk(self, source: Tensor, steps: int, churn: float, rng: torch.Generator) -> Tensor:
        """The steps of :meth:`sample`."""
        times = (MARGIN + (1 - 2 * MARGIN) * power_grid(steps, 1.5)).to(source)  # smaller steps near the target

        def look(x: Tensor, t: Tensor) -> Tensor:
            return self._velocity(x, t, source)

        def move(x: Tensor, velocity: Tensor, t: Tensor, s: Tensor) -> Tensor:
            return x + (s - t) * velocity

        # At the source the bridge has no noise and its score no value: leave it by a draw from the bridge itself.
        a, b, variance = self.bridge.coefficients(times[0])
        x = a * source + b * self.denoise(source, times[0].expand(len(source)), source)
        if churn:
            x = x + variance.sqrt() * noise_like(source, rng)
        for t, s in pairwise(times):
            if churn:  # the reverse SDE, by Euler-Maruyama
                middle = t + churn * (s - t)
                pinned = self.score(x, t, source) - self.bridge.grad_log_h(x, source, t)
                drift = self.bridge.drift(x, t) - self.bridge.diffusion_squared(t) * pinned
                noise = noise_like(source, rng)
                x = euler_step(x, drift, self.bridge.diffusion_squared(t), middle - t, noise)  # Eq. (6)
                t = middle
            x = heun_step(look, move, x, t, s)
        return self.denoise(x, times[-1].expand(len(x)), source)

    def _denoised(self, x: Tensor, t: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """D(x, t, x_T), (B, ...), and c_out."""
        inputs, base, c_out, clock = self._preconditioned(x, t, source)
        return base + c_out * evaluate_field(self.network, inputs, clock)[:, 0], c_out

    def _preconditioned(self, x: Tensor, t: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the network sees, (B, 2, ...), the denoised state without it, (B, ...), c_out, and its clock, (B,)."""
        time = expand_to(t, x)
        if self.linear.started:  # Eq. (4) for what the source leaves open: σ_0 is its spread, σ_T and σ_0T are zero
            view = self.linear.view(x, source, *self.bridge.coefficients(time))
            return view.inputs, view.base, view.gain, view.known
        c_in, c_skip, c_out = preconditioning(self.bridge, time, *self.moments)
        return torch.stack([c_in * x, source / self.moments[1]], dim=1), c_skip * x, c_out, t

    def _velocity(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """Right side of the probability-flow ODE of the bridge."""
        half = self.score(x, t, source) / 2 - self.bridge.grad_log_h(x, source, t)
        return self.bridge.drift(x, t) - self.bridge.diffusion_squared(t) * half  # Eq. (7)
