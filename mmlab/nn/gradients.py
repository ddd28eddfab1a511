"""Gradients of one part of a network, scaled or made noisy between the backward pass and the step of the optimiser.

The order of events in a step that modulates gradients: forward and backward as always; measure how the parts of the
network are doing; scale the gradients that the parameters hold; step. What a part outputs never changes, nor does the
gradient that went through it to what lies before it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["StepSums", "draw_noise", "scale_gradients", "spread"]


def spread(gradient: Tensor) -> Tensor:
    """Standard deviation over the entries of one gradient, a scalar; 0 where there is one entry only."""
    return gradient.std() if gradient.numel() > 1 else gradient.new_zeros(())


def draw_noise(module: nn.Module, rng: torch.Generator) -> dict[str, Tensor]:
    """Standard normal noise for each parameter of a module, by the parameter's name."""
    return {
        name: torch.randn(parameter.shape, generator=rng, device=parameter.device, dtype=parameter.dtype)
        for name, parameter in module.named_parameters()
    }


@torch.no_grad()
def scale_gradients(module: nn.Module, factor: Tensor | float, noise: Mapping[str, Tensor] | None = None) -> None:
    """Replace the gradient g of each parameter by factor · g + spread(g) · ε. Call it after the backward pass.

    Args:
        module: The part of the network whose gradients change.
        factor: A number, or a tensor with a single entry and no dimension.
        noise: ε for each parameter, by name, as :func:`draw_noise` draws it; None for no noise. Its standard deviation
            is that of the gradient before scaling.

    Raises:
        ValueError: If the factor is not a scalar.
    """
    if isinstance(factor, Tensor) and factor.shape != ():
        raise ValueError(f"factor must be a scalar, not a tensor of shape {tuple(factor.shape)}: take one entry of it.")
    for name, parameter in module.named_parameters():
        if parameter.grad is None:
            continue
        changed = factor * parameter.grad
        if noise is not None:
            changed = changed + spread(parameter.grad) * noise[name]
        parameter.grad.copy_(changed)


class StepSums:
    """What was measured on the batch of one step, summed over its pieces and over the processes that share it.

    A batch may reach the loss in several pieces. A score over the batch, such as a mean probability, is the ratio of
    two of these sums, and does not depend on how the batch was cut.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, **values: Tensor) -> None:
        """Add one piece's values, each under its name, without their graph."""
        for name, value in values.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def clear(self) -> None:
        """Forget what was added, before a step begins."""
        self._sums = {}

    def take(self) -> dict[str, Tensor]:
        """The sums over all pieces and processes, by name; empties the collection."""
        sums = self._sums
        self._sums = {}
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for name in sorted(sums):
                sums[name] = sums[name].clone()
                torch.distributed.all_reduce(sums[name])
        return sums
