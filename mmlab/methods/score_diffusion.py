"""Conditional score-based diffusion: blur the target into noise, learn the score, and run time backwards.

Time 0 is the data, time 1 pure noise: the other way round than in the bridges. Symbols: α_t and σ_t are how much of the
data and of the noise is left at time t, with α_t² + σ_t² = 1; s(x, t, c) = ∇ log p_t(x | c) is the conditional score;
x̂ = E[X₀ | X_t = x, c] is the clean sample expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion.reference import like
from mmlab.method import Batch, Method
from mmlab.nn.mlp import FiLMPerceptron, RefiningPerceptron
from mmlab.nn.unet import LARGEST_ATTENTION, UNet

Parametrisation = Literal["endpoint", "noise"]
Sampler = Literal["ancestral", "euler", "ode"]
BETA = (0.1, 20.0)
"""The rate of the noise rises linearly from the first to the second number: the usual choice of Song et al. 2021."""
FIRST = 1e-3
"""Earliest time that the network is trained on and asked for: at 0 the score of data on a thin set is infinite."""


def rate(t: Tensor) -> Tensor:
    """β_t of the forward process dX = -½ β X dt + √β dW."""
    return BETA[0] + (BETA[1] - BETA[0]) * t


def signal(t: Tensor) -> Tensor:
    """α_t = exp(-½ ∫₀ᵗ β): how much of the data is left."""
    return (-(BETA[0] * t + (BETA[1] - BETA[0]) * t**2 / 2) / 2).exp()


def noise_level(t: Tensor) -> Tensor:
    """σ_t = √(1 - α_t²), without cancellation near 0."""
    return (-torch.expm1(-(BETA[0] * t + (BETA[1] - BETA[0]) * t**2 / 2))).sqrt()


def perturb(x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """X_t given the data (B, ...); t broadcasts against them."""
    return signal(t) * x0 + noise_level(t) * noise  # Eq. (1)


def score_from_endpoint(x: Tensor, endpoint: Tensor, t: Tensor) -> Tensor:
    """The score at x of time t > 0 that belongs to an expected clean sample (Tweedie's formula)."""
    return (signal(t) * endpoint - x) / noise_level(t).square()  # Eq. (2)


def ancestral_step(x: Tensor, endpoint: Tensor, t: Tensor, s: Tensor, noise: Tensor) -> Tensor:
    """Draw X_s given X_t = x and the clean sample, s < t: exact for a step of any size."""
    kept = signal(t) / signal(s)
    fresh = noise_level(t).square() - kept**2 * noise_level(s).square()  # variance added between s and t
    mean = (signal(s) * fresh * endpoint + kept * noise_level(s).square() * x) / noise_level(t).square()
    return mean + (fresh.clamp_min(0).sqrt() * noise_level(s) / noise_level(t)) * noise  # Eq. (4)


def euler_step(x: Tensor, score: Tensor, t: Tensor, s: Tensor, noise: Tensor) -> Tensor:
    """Euler-Maruyama for the reverse SDE dX = (-½ β X - β ∇ log p_t) dt + √β dW, from t back to s < t."""
    step = t - s
    return x + rate(t) * step * (x / 2 + score) + (rate(t) * step).sqrt() * noise  # Eq. (5)


def ode_step(x: Tensor, endpoint: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The probability-flow ODE from t to s, solved for a fixed clean sample: the step of DDIM."""
    return signal(s) * endpoint + noise_level(s) / noise_level(t) * (x - signal(t) * endpoint)  # Eq. (6)


class ScoreDiffusion(Method):
    """Denoising score matching with a condition, and guidance without a classifier.

    The condition has the shape of the data; all zeros means "no condition", which training shows now and then.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        parametrisation: What the network puts out: ``"endpoint"`` x̂ or ``"noise"``.
        drop_condition: Probability with which training hides the condition; guidance needs it above 0.
        levels: Number of discrete times in the loss; 0 draws them from the whole interval.
        dropout: Share of features dropped in training.
        scale: Typical size of a value in the data; the noise is measured in it.
        refine: For vectors: a guess from the condition and a low-rank correction from the state, for few pairs.

    Source:
        Song et al. 2021 (score SDEs); Ho and Salimans 2022 (guidance).
    """

    card = Card(
        name="Score-based diffusion",
        family="translation",
        paper="song2021score",
        summary="Turns noise into samples of the target, given the source, by learning the score of blurred data.",
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
        parametrisation: Parametrisation = "endpoint",
        drop_condition: float = 0.0,
        levels: int = 0,
        dropout: float = 0.0,
        scale: float = 1.0,
        refine: bool = False,
    ) -> None:
        super().__init__()
        if parametrisation not in get_args(Parametrisation):
            raise ValueError(f"parametrisation is one of {get_args(Parametrisation)}, not {parametrisation!r}.")
        if not 0 <= drop_condition <= 1 or levels < 0:
            raise ValueError(f"drop_condition={drop_condition} must be in [0, 1] and levels={levels} at least 0.")
        self.shape, self.parametrisation, self.scale = tuple(shape), parametrisation, scale
        self.drop_condition, self.levels, self.refine = drop_condition, levels, refine
        self.network: nn.Module
        if refine and len(self.shape) == 1 and parametrisation == "endpoint":
            self.network = RefiningPerceptron(self.shape[0], width, depth, dropout=dropout)
        elif refine:
            raise ValueError("refine=True is for vectors with the parametrisation 'endpoint'.")
        elif len(self.shape) == 1:
            self.network = FiLMPerceptron(2, *self.shape, width, depth, 1, dropout)
        elif len(self.shape) == 3:
            channels, height, breadth = self.shape
            attention = (height + 3) // 4 * ((breadth + 3) // 4) <= LARGEST_ATTENTION
            self.network = UNet(2 * channels, channels, width, (1, 2, 4), depth, dropout, attention)
        else:
            raise ValueError(f"shape is (E,) for vectors or (C, H, W) for images, not {self.shape}.")

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the network's output at random times of the forward process.

        Args:
            batch: ``source`` (the condition) and ``target`` (the data), paired, shape (B, ...).
            rng: Draws times, noise, and whose condition is hidden.
        """
        x0, condition = batch["target"], batch["source"]
        if x0.shape != condition.shape or tuple(x0.shape[1:]) != self.shape:
            raise ValueError(
                f"source {tuple(condition.shape)} and target {tuple(x0.shape)} must both have shape (B, "
                f"{', '.join(map(str, self.shape))}), the shape that this method was built for."
            )
        t = torch.rand(len(x0), generator=rng, device=x0.device, dtype=x0.dtype)
        if self.levels:
            t = (t * self.levels).floor() / max(self.levels - 1, 1)
        t = FIRST + (1 - FIRST) * t
        noise = torch.randn(x0.shape, generator=rng, device=x0.device, dtype=x0.dtype)
        hidden = torch.rand(len(x0), generator=rng, device=x0.device) < self.drop_condition
        condition = torch.where(like(hidden, x0), 0, condition)
        x = perturb(x0 / self.scale, like(t, x0), noise)
        goal = x0 / self.scale if self.parametrisation == "endpoint" else noise
        return {"loss": (self._output(x, t, condition / self.scale) - goal).square().mean()}  # Eq. (3)

    def endpoint(self, x: Tensor, t: Tensor, condition: Tensor, guidance: float = 0.0) -> Tensor:
        """x̂ = E[X₀ | X_t = x, c], for states and conditions (B, ...) in units of ``scale`` and times (B,).

        Args:
            x: States.
            t: Times.
            condition: Conditions; all zeros for none.
            guidance: Weight w of the difference that the condition makes; 0 leaves the conditional process as it is.
        """
        given = self._clean(x, t, condition)
        if guidance == 0:
            return given
        return given + guidance * (given - self._clean(x, t, torch.zeros_like(condition)))  # Eq. (7)

    @torch.no_grad()
    def sample(
        self,
        source: Tensor,
        *,
        steps: int = 50,
        sampler: Sampler = "ancestral",
        guidance: float = 0.0,
        rng: torch.Generator,
    ) -> Tensor:
        """Draw samples of the target, each for one condition.

        Args:
            source: Conditions c, shape (B, ...).
            steps: Number of time steps; the network runs once in each, twice with guidance.
            sampler: ``"ancestral"`` (exact for a fixed clean sample), ``"euler"`` or ``"ode"`` (no noise on the way).
            guidance: Weight w of guidance; see :meth:`endpoint`.
            rng: Draws the noise.

        Returns:
            Samples, of the shape of the conditions.
        """
        if steps < 1 or sampler not in get_args(Sampler):
            raise ValueError(f"Sampling needs steps >= 1 and one of {get_args(Sampler)}, not {steps}, {sampler!r}.")
        if guidance and not self.drop_condition:
            raise ValueError("Guidance needs a network that was trained with drop_condition above 0.")

        def noise() -> Tensor:
            return torch.randn(source.shape, generator=rng, device=source.device, dtype=source.dtype)

        # Small steps near the data, where the score changes fastest.
        times = (1 - (1 - FIRST**0.5) * torch.linspace(0, 1, steps + 1, dtype=torch.float64)).square().to(source)
        x, condition = noise(), source / self.scale
        for t, s in pairwise(times[:-1]):
            endpoint = self.endpoint(x, t.expand(len(x)), condition, guidance)
            if sampler == "ancestral":
                x = ancestral_step(x, endpoint, t, s, noise())
            elif sampler == "euler":
                x = euler_step(x, score_from_endpoint(x, endpoint, t), t, s, noise())
            else:
                x = ode_step(x, endpoint, t, s)
        return self.scale * self.endpoint(x, times[-2].expand(len(x)), condition, guidance)  # the last noise taken off

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Vectors of 6 values whose targets are a fixed rotation of the conditions."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(6,), width=32, depth=1, drop_condition=0.1)
        source = torch.randn(32, 6, generator=rng)
        return method, {"source": source, "target": source.roll(1, dims=1)}

    def _clean(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        output = self._output(x, t, condition)
        if self.parametrisation == "endpoint":
            return output
        return (x - noise_level(like(t, x)) * output) / signal(like(t, x))

    def _output(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Run the network on states and conditions (B, ...) and times (B,)."""
        if self.refine:  # the state is on the way from 0 to the clean sample
            return self.network(x, condition, signal(t), torch.zeros_like(x))
        inputs = torch.stack([x, condition], dim=1)  # (B, 2, ...)
        if len(self.shape) == 1:
            return self.network(inputs, t)[:, 0]
        return self.network(inputs.flatten(1, 2), t)
