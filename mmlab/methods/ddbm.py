"""Denoising diffusion bridges (DDBM): a diffusion bridge trained like a denoiser and sampled like a diffusion.

Time 0 is the target, time 1 the source: as in diffusion models, what is wanted lies at 0. Symbols: x_T is the source,
x_0 the target; α_t and σ_t belong to the unpinned diffusion, and a_t, b_t, c_t to the bridge X_t = a x_T + b x_0 + c ε;
D(x, t, x_T) is the denoiser, which expects x_0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion.reference import like
from mmlab.method import Batch, Method
from mmlab.nn.mlp import FiLMPerceptron, RefiningPerceptron
from mmlab.nn.unet import LARGEST_ATTENTION, UNet

Schedule = Literal["ve", "vp"]
MARGIN = 1e-3
"""The network is trained and asked on [MARGIN, 1 - MARGIN]: at the ends the bridge has no noise, its score no value."""
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

    def rate(self, t: Tensor) -> Tensor:
        """g²(t) of the unpinned diffusion."""
        return self.sigma**2 * (2 * t if self.schedule == "ve" else BETA[0] + BETA[1] * t)

    def pull(self, x: Tensor, source: Tensor, t: Tensor) -> Tensor:
        """∇ log p(x_T | x_t = x): what bends the unpinned diffusion towards the source (Doob's h-transform)."""
        one = torch.ones_like(t)
        ratio, start = self.alpha(t) / self.alpha(one), self.variance(t)
        rest = self.variance(one) * ratio**2 - start  # σ_t² (SNR_t / SNR_T - 1)
        return (ratio * source - x) / rest  # Eq. (3)

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
    left = a**2 * (source**2 * target**2 - covariance**2) + target**2 * variance
    return total.rsqrt(), skip, (left / total).sqrt()  # Eq. (4)


class DDBM(Method):
    """Denoising diffusion bridge between paired samples, images or vectors.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        schedule: ``"ve"`` or ``"vp"``.
        sigma: Unit of the noise, in units of the data.
        target_deviation: Standard deviation of the targets σ_0, for the preconditioning.
        source_deviation: Standard deviation of the sources σ_T.
        covariance: Covariance σ_0T of the two.
        dropout: Share of features dropped in training.
        refine: For vectors: a guess from the source and a low-rank correction from the state, for few pairs; the
            preconditioning is then left out, since the guess does its work.

    Source:
        Zhou et al. 2024, "Denoising diffusion bridge models".
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
    )

    def __init__(
        self,
        shape: Sequence[int] = (780,),
        width: int = 256,
        depth: int = 2,
        schedule: Schedule = "ve",
        sigma: float = 0.5,
        target_deviation: float = 1.0,
        source_deviation: float = 1.0,
        covariance: float = 0.5,
        dropout: float = 0.0,
        refine: bool = False,
    ) -> None:
        super().__init__()
        if schedule not in get_args(Schedule) or sigma <= 0:
            raise ValueError(f"schedule={schedule!r} must be one of {get_args(Schedule)}, and sigma={sigma} positive.")
        if covariance**2 >= target_deviation**2 * source_deviation**2:
            raise ValueError(
                f"covariance={covariance} is impossible for deviations {target_deviation} and {source_deviation}: "
                "measure all three on the same training pairs."
            )
        self.shape, self.bridge, self.refine = tuple(shape), Bridge(schedule, sigma), refine
        self.moments = target_deviation, source_deviation, covariance
        self.network: nn.Module
        if refine and len(self.shape) == 1:
            self.network = RefiningPerceptron(self.shape[0], width, depth, dropout=dropout)
        elif refine:
            raise ValueError("refine=True is for vectors, shape (E,).")
        elif len(self.shape) == 1:
            self.network = FiLMPerceptron(2, *self.shape, width, depth, 1, dropout)
        elif len(self.shape) == 3:
            channels, height, breadth = self.shape
            attention = (height + 3) // 4 * ((breadth + 3) // 4) <= LARGEST_ATTENTION
            self.network = UNet(2 * channels, channels, width, (1, 2, 4), depth, dropout, attention)
        else:
            raise ValueError(f"shape is (E,) for vectors or (C, H, W) for images, not {self.shape}.")

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the denoiser, weighted by 1 / c_out², at random times of pinned bridges.

        Args:
            batch: ``source`` and ``target``, paired, shape (B, ...).
            rng: Draws times and noise.
        """
        source, target = batch["source"], batch["target"]
        if source.shape != target.shape or tuple(source.shape[1:]) != self.shape:
            raise ValueError(
                f"source {tuple(source.shape)} and target {tuple(target.shape)} must both have shape (B, "
                f"{', '.join(map(str, self.shape))}), the shape that this method was built for."
            )
        t = MARGIN + (1 - 2 * MARGIN) * torch.rand(len(source), generator=rng, device=source.device, dtype=source.dtype)
        a, b, variance = self.bridge.coefficients(like(t, source))
        noise = torch.randn(source.shape, generator=rng, device=source.device, dtype=source.dtype)
        error = self.denoise(a * source + b * target + variance.sqrt() * noise, t, source) - target
        if not self.refine:
            error = error / preconditioning(self.bridge, like(t, source), *self.moments)[2]
        return {"loss": error.square().mean()}  # Eq. (5)

    def denoise(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """D(x, t, x_T) = E[x_0 | x_t = x, x_T] for states and sources (B, ...) and times (B,)."""
        time = like(t, x)
        if self.refine:  # the mean of the bridge is a x_T + b x_0: a way from (a / (1 - b)) x_T to x_0
            a, b, _ = self.bridge.coefficients(t)
            return self.network(x, source, b, like(a / (1 - b), x) * source)
        c_in, c_skip, c_out = preconditioning(self.bridge, time, *self.moments)
        inputs = torch.stack([c_in * x, source / self.moments[1]], dim=1)  # (B, 2, ...)
        output = self.network(inputs, t)[:, 0] if len(self.shape) == 1 else self.network(inputs.flatten(1, 2), t)
        return c_skip * x + c_out * output

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
            steps: Number of steps N. Each goes a share of the way with noise, then the rest by Heun's method.
            churn: That share, in [0, 1). With 0 nothing is random, and every source has one answer: their mean.
            rng: Draws the noise.

        Returns:
            Samples, of the shape of the sources.
        """
        if steps < 1 or not 0 <= churn < 1:
            raise ValueError(f"Sampling needs steps >= 1 and a churn in [0, 1), not {steps} and {churn}.")
        ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        times = (MARGIN + (1 - 2 * MARGIN) * (1 - ramp) ** 1.5).to(source)  # smaller steps near the target

        def noise() -> Tensor:
            return torch.randn(source.shape, generator=rng, device=source.device, dtype=source.dtype)

        # At the source the bridge has no noise and its score no value: leave it by a draw from the bridge itself.
        a, b, variance = self.bridge.coefficients(times[0])
        x = a * source + b * self.denoise(source, times[0].expand(len(source)), source)
        if churn:
            x = x + variance.sqrt() * noise()
        for t, s in pairwise(times):
            if churn:
                middle = t + churn * (s - t)
                step = t - middle  # the reverse SDE, by Euler-Maruyama
                bent = self.score(x, t, source) - self.bridge.pull(x, source, t)
                x = x - step * (self.bridge.drift(x, t) - self.bridge.rate(t) * bent)
                x = x + (self.bridge.rate(t) * step).sqrt() * noise()  # Eq. (6)
                t = middle
            now = self._velocity(x, t, source)
            then = self._velocity(x + (s - t) * now, s, source)
            x = x + (s - t) * (now + then) / 2
        return self.denoise(x, times[-1].expand(len(x)), source)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Vectors of 12 values whose targets are a fixed rotation of the sources."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(12,), width=32, depth=1, covariance=0.0)
        source = torch.randn(32, 12, generator=rng)
        return method, {"source": source, "target": source.roll(1, dims=1)}

    def _velocity(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        """Right side of the probability-flow ODE of the bridge."""
        half = self.score(x, t, source) / 2 - self.bridge.pull(x, source, t)
        return self.bridge.drift(x, t) - self.bridge.rate(t) * half  # Eq. (7)
