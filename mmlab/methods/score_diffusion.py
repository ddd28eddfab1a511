"""Conditional score-based diffusion: blur the target into noise, learn the score, and run time backwards.

Time 0 is the data, time 1 pure noise: the other way round than in the bridges. Symbols: α_t and σ_t are how much of the
data and of the noise is left at time t, with α_t² + σ_t² = 1; s(x, t, c) = ∇ log p_t(x | c) is the conditional score;
x̂ = E[X₀ | X_t = x, c] is the clean sample expected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion import steps as step_of
from mmlab.diffusion.grids import power_grid
from mmlab.diffusion.reference import MARGIN, expand_to, noise_like
from mmlab.method import Batch, Draws, Method
from mmlab.nn.field import LinearStart, View, check_pairs, evaluate_field, make_field, read_pairs

__all__ = [
    "BETA",
    "MARGIN",
    "Parametrisation",
    "Sampler",
    "ScoreDiffusion",
    "ancestral_step",
    "euler_step",
    "noise_level",
    "ode_step",
    "perturb",
    "rate",
    "score_from_endpoint",
    "signal",
    "time_of",
]

Parametrisation = Literal["endpoint", "noise", "preconditioned"]
Sampler = Literal["ancestral", "euler", "ode"]
BETA = (0.1, 20.0)
"""The rate of the noise rises linearly from the first to the second number: the usual choice of Song et al. 2021."""


def rate(t: Tensor) -> Tensor:
    """β_t of the forward process dX = -½ β X dt + √β dW."""
    return BETA[0] + (BETA[1] - BETA[0]) * t


def signal(t: Tensor) -> Tensor:
    """α_t = exp(-½ ∫₀ᵗ β): how much of the data is left."""
    return (-(BETA[0] * t + (BETA[1] - BETA[0]) * t**2 / 2) / 2).exp()


def noise_level(t: Tensor) -> Tensor:
    """σ_t = √(1 - α_t²), without cancellation near 0."""
    return (-torch.expm1(-(BETA[0] * t + (BETA[1] - BETA[0]) * t**2 / 2))).sqrt()


def time_of(ratio: Tensor) -> Tensor:
    """The time at which (σ_t / α_t)² is ``ratio``."""
    slope = BETA[1] - BETA[0]
    gathered = torch.log1p(ratio)  # ∫₀ᵗ β
    return 2 * gathered / (BETA[0] + (BETA[0] ** 2 + 2 * slope * gathered).sqrt())


def perturb(x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """X_t given the data (B, ...); t broadcasts against them."""
    return signal(t) * x0 + noise_level(t) * noise  # Eq. (1)


def score_from_endpoint(x: Tensor, endpoint: Tensor, t: Tensor) -> Tensor:
    """The score at x of time t > 0 that belongs to an expected clean sample (Tweedie's formula)."""
    return (signal(t) * endpoint - x) / noise_level(t).square()  # Eq. (2)


def ancestral_step(x: Tensor, endpoint: Tensor, t: Tensor, s: Tensor, noise: Tensor) -> Tensor:
    """Draw X_s given X_t = x and the clean sample, s < t: exact for a step of any size.

    X_t / α_t is a Brownian motion away from the clean sample whose variance is (σ_t / α_t)².
    """
    now, then = (noise_level(t) / signal(t)).square(), (noise_level(s) / signal(s)).square()
    return signal(s) * step_of.posterior_step(x / signal(t), endpoint, now, then, noise)  # Eq. (4)


def euler_step(x: Tensor, score: Tensor, t: Tensor, s: Tensor, noise: Tensor) -> Tensor:
    """Euler-Maruyama for the reverse SDE dX = (-½ β X - β ∇ log p_t) dt + √β dW, from t back to s < t."""
    return step_of.euler_step(x, -rate(t) * (x / 2 + score), rate(t), s - t, noise)  # Eq. (5)


def ode_step(x: Tensor, endpoint: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The probability-flow ODE from t to s, solved for a fixed clean sample: the step of DDIM."""
    ratio = noise_level(s) / noise_level(t)
    return step_of.ddim_step(x, signal(t) * endpoint, signal(s) * endpoint, ratio)  # Eq. (6)


class ScoreDiffusion(Method):
    """Denoising score matching with a condition, and guidance without a classifier.

    The condition has the shape of the data; all zeros means "no condition", which training shows now and then.

    By default (``"preconditioned"``) the network predicts what a linear regression of targets on conditions leaves
    open, in units of its spread; :meth:`start_from`, which :func:`mmlab.fit` calls, solves that regression.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        parametrisation: What the network predicts: ``"preconditioned"``, ``"endpoint"`` x̂ or ``"noise"``.
        drop_condition: Probability with which training hides the condition; guidance needs it above 0.
        levels: Number of discrete times in the loss; 0 draws them from the whole interval.
        dropout: Dropout probability.
        scale: Data scale (standard deviation); the noise is measured in it.
        network: Your own network in place of the built one; see :func:`mmlab.nn.field.make_field`.
        directions: Strong regularisation for few pairs: in how many principal directions the preconditioned network
            sees the condition. None decides by the number of pairs; see :class:`mmlab.nn.field.LinearStart`.

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
        tags=("brain", "fMRI", "MRI", "connectome", "diffusion"),
    )
    draws = Draws()

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 256,
        depth: int = 2,
        parametrisation: Parametrisation = "preconditioned",
        drop_condition: float = 0.0,
        levels: int = 0,
        dropout: float = 0.0,
        scale: float = 1.0,
        network: nn.Module | None = None,
        directions: int | None = None,
    ) -> None:
        super().__init__()
        if parametrisation not in get_args(Parametrisation):
            raise ValueError(
                f"parametrisation is one of {', '.join(get_args(Parametrisation))}, not {parametrisation!r}."
            )
        if not 0 <= drop_condition <= 1:
            raise ValueError(f"drop_condition={drop_condition} is a probability and must be in [0, 1].")
        if levels < 0:
            raise ValueError(f"levels={levels}: a number of discrete times cannot be negative; 0 draws from them all.")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale}: the size of a typical value must be positive and finite.")
        self.shape = tuple(shape)
        self.parametrisation: Parametrisation = parametrisation
        self.scale = scale
        self.drop_condition = drop_condition
        self.levels = levels
        self.network = make_field(shape, 2, width=width, depth=depth, dropout=dropout, network=network)
        self.linear = LinearStart(shape, directions=directions)  # of values in units of scale

    def start_from(self, dataset: Any) -> None:
        """Solve the linear regression that the preconditioned network starts from, unless that was done before.

        Args:
            dataset: Training pairs, with ``len()`` and ``dataset[i]``: ``source`` and ``target``.
        """
        if self.parametrisation == "preconditioned" and not self.linear.started:
            source, target = read_pairs(dataset)
            self.linear.start(source / self.scale, target / self.scale)

    def expect(self, source: Tensor) -> Tensor:
        """E[X₀ | c] for conditions (B, ...): what the preconditioned network knows of pure noise."""
        return self.scale * self.linear.expect(source / self.scale, self.network)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the network's output at random times of the forward process.

        Args:
            batch: ``source`` (the condition) and ``target`` (the data), paired, shape (B, ...).
            rng: Draws times, noise, and whose condition is hidden.
        """
        x0, condition = batch["target"], batch["source"]
        check_pairs(self.shape, source=condition, target=x0)
        t = torch.rand(len(x0), generator=rng, device=x0.device, dtype=x0.dtype)
        if self.levels:
            t = (t * self.levels).floor() / max(self.levels - 1, 1)
        if self.parametrisation == "preconditioned" and not self.levels:
            t = time_of(self.linear.noise_ratio(t)).clamp(MARGIN, 1)
        else:
            t = MARGIN + (1 - MARGIN) * t
        noise = noise_like(x0, rng)
        hidden = torch.rand(len(x0), generator=rng, device=x0.device) < self.drop_condition
        condition = torch.where(expand_to(hidden, x0), 0, condition) / self.scale
        clean = x0 / self.scale
        x = perturb(clean, expand_to(t, x0), noise)
        if self.parametrisation == "preconditioned":
            view = self._view(x, t, condition)
            error = evaluate_field(self.network, view.inputs, view.known)[:, 0] - (clean - view.base) / view.gain
        else:
            goal = clean if self.parametrisation == "endpoint" else noise
            error = evaluate_field(self.network, torch.stack([x, condition], dim=1), t)[:, 0] - goal
        return {"loss": error.square().mean()}  # Eq. (3)

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
        check_pairs(self.shape, source=source)
        if steps < 1 or sampler not in get_args(Sampler):
            raise ValueError(
                f"Sampling needs steps >= 1 and a sampler of {', '.join(get_args(Sampler))}, "
                f"not steps={steps} and sampler={sampler!r}."
            )
        if guidance and not self.drop_condition:
            raise ValueError("Guidance needs a network that was trained with drop_condition above 0.")

        times = power_grid(steps, 2, MARGIN).to(source)  # small steps near the data, where the score changes fastest
        x, condition = noise_like(source, rng), source / self.scale
        with self.linear.hold(condition):
            for t, s in pairwise(times[:-1]):
                endpoint = self.endpoint(x, t.expand(len(x)), condition, guidance)
                if sampler == "ancestral":
                    x = ancestral_step(x, endpoint, t, s, noise_like(x, rng))
                elif sampler == "euler":
                    x = euler_step(x, score_from_endpoint(x, endpoint, t), t, s, noise_like(x, rng))
                else:
                    x = ode_step(x, endpoint, t, s)
            x = self.endpoint(x, times[-2].expand(len(x)), condition, guidance)  # the last noise taken off
        return self.scale * x

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
        if self.parametrisation == "preconditioned":
            view = self._view(x, t, condition)
            return view.base + view.gain * evaluate_field(self.network, view.inputs, view.known)[:, 0]
        output = evaluate_field(self.network, torch.stack([x, condition], dim=1), t)[:, 0]
        if self.parametrisation == "endpoint":
            return output
        return (x - noise_level(expand_to(t, x)) * output) / signal(expand_to(t, x))

    def _view(self, x: Tensor, t: Tensor, condition: Tensor) -> View:
        time = expand_to(t, x)
        hidden = ~condition.flatten(1).any(1)  # all zeros are no condition
        return self.linear.view(x, condition, 0 * time, signal(time), noise_level(time).square(), hidden)
