"""Gradients that are scaled, or made noisy, on their way back to the parameters of one part of a network.

What the part puts out is unchanged; so is the gradient that goes on through it to what lies before it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["modulated", "spread"]


def spread(gradient: Tensor) -> Tensor:
    """Standard deviation over the entries of one gradient, a scalar; 0 where there is one entry only."""
    return gradient.std() if gradient.numel() > 1 else gradient.new_zeros(())


def modulated(module: nn.Module, *inputs: Any, factor: Tensor, rng: torch.Generator | None = None) -> Any:
    """Run a module whose parameters will get other gradients: factor · g + ε instead of g.

    Args:
        module: The part of the network.
        inputs: What it is called with.
        factor: A scalar tensor. It is read in the backward pass, so that it may be filled in place after this call,
            with a number that only the output tells; not again after the backward pass has begun.
        rng: Draws, now, the noise ε: for each parameter tensor normal, with the standard deviation :func:`spread` of
            its gradient g before scaling. None for no noise.

    Returns:
        What the module returns.

    Raises:
        ValueError: If the factor is not a scalar.
    """
    if factor.shape != ():
        raise ValueError(f"modulated: the factor must be a scalar tensor, not one of shape {tuple(factor.shape)}.")
    parameters = {}
    for name, parameter in module.named_parameters():
        noise = None
        if rng is not None:
            noise = torch.randn(parameter.shape, generator=rng, device=parameter.device, dtype=parameter.dtype)
        parameters[name] = _Modulate.apply(parameter, factor, noise)  # type: ignore[no-untyped-call]
    return functional_call(module, parameters, inputs)


class _Modulate(torch.autograd.Function):
    """The identity, with another gradient."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, factor: Tensor, noise: Tensor | None) -> Tensor:
        ctx.factor, ctx.noise = factor, noise  # not save_for_backward, which forbids to fill the factor later
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        changed = ctx.factor * gradient
        if ctx.noise is not None:
            changed = changed + spread(gradient) * ctx.noise
        return changed, None, None
