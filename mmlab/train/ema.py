"""The moving average of the weights (Polyak averaging), beside the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmlab.train.shards import gathered, placed_like

__all__ = ["Average"]


class Average:
    """An exponential moving average of parameters.

    With θ_k the weights after k steps and average m_0 = θ_0: m_k = d_k · m_(k-1) + (1 - d_k) · θ_k, where
    d_k = min(decay, (1 + k) / (10 + k)). The ramp keeps the untrained weights out of the average of a short run.

    Args:
        parameters: By name; only those that are trained.
        decay: The final d, in [0, 1).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.parameters = dict(parameters)
        self.decay = decay
        self.tensors: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` steps (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = [p.detach() for p in self.parameters.values()]
        torch._foreach_lerp_(list(self.tensors.values()), weights, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the values of weights and average, tensor by tensor; wrappers know where the tensors lie."""
        for name, parameter in self.parameters.items():
            weights = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(weights)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights by name, gathered from all processes."""
        return {name: gathered(tensor) for name, tensor in self.tensors.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state` gave, with the same names and shapes."""
        for name, tensor in self.tensors.items():
            tensor.copy_(placed_like(state[name], tensor))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in place of the weights for a while."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
