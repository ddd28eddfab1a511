"""One step of a process: from the time that a state is at to the time that it goes to.

Each is written once, for any schedule and either direction of time; the methods say which drift, variance or endpoint
goes in.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["ddim_step", "euler_step", "heun_step", "posterior_step"]


def euler_step(x: Tensor, drift: Tensor, diffusion_squared: Tensor, step: Tensor, noise: Tensor) -> Tensor:
    """Euler-Maruyama for dX = f dt + g dW: an approximation that is good for small steps.

    Args:
        x: States, (B, ...).
        drift: f at the states, of their shape.
        diffusion_squared: g², which broadcasts against them.
        step: Length of the step in time; negative backward in time.
        noise: Standard normal noise, of the shape of x; zeros leave the step without noise.
    """
    return x + step * drift + (diffusion_squared * step.abs()).sqrt() * noise


def posterior_step(x: Tensor, endpoint: Tensor, now: Tensor, then: Tensor, noise: Tensor) -> Tensor:
    """Draw the next state of a Brownian motion that ends in a known point: exact for a step of any size.

    Args:
        x: States, (B, ...).
        endpoint: Where they end, of the same shape.
        now: Variance between the state and its end.
        then: Variance between the next state and the end, at most ``now``; at 0 the step returns the endpoint.
        noise: Standard normal noise, of the shape of x.
    """
    mean = (then * x + (now - then) * endpoint) / now
    return mean + ((now - then).clamp_min(0) * then / now).sqrt() * noise


def ddim_step(x: Tensor, mean_now: Tensor, mean_then: Tensor, ratio: Tensor) -> Tensor:
    """Solve the probability-flow ODE for fixed ends: the deviation from the mean is stretched by ``ratio``.

    Args:
        x: States, (B, ...).
        mean_now: Mean of the process at the states' time, given its ends.
        mean_then: Mean at the time that they go to.
        ratio: Standard deviation then over standard deviation now.

    Source:
        Song, Meng, Ermon 2021, "Denoising diffusion implicit models".
    """
    return mean_then + ratio * (x - mean_now)


def heun_step(
    guide: Callable[[Tensor, Tensor], Tensor],
    move: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    x: Tensor,
    s: Tensor,
    t: Tensor,
) -> Tensor:
    """A step of Heun's method: predict, evaluate again at the predicted state, and average the two.

    Args:
        guide: What moves a state, for example its velocity: a function of states (B, ...) and a time.
        move: Carries states under that: a function of (x, guide(x, s), s, t).
        x: States at time s, (B, ...).
        s: Time that they are at.
        t: Time that they go to.
    """
    now = guide(x, s)
    then = guide(move(x, now, s, t), t)
    return move(x, (now + then) / 2, s, t)
