"""Many small trainings at once: copies of one method, each on data of its own, as one stack of tensors.

A world with a dial asks for dozens of networks of a few hundred values. One after the other they cost mostly Python;
stacked, a step of all costs little more than a step of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.train.fit import fit
from mmlab.train.history import History

__all__ = ["fit_side_by_side"]

_EACH = "each "
"""Before the keys of the stacked data: a label for each copy is another thing than a label."""


def fit_side_by_side(methods: Sequence[Method], datasets: Sequence[TensorData], **arguments: Any) -> History:
    """Train copies of one method side by side, each on its own data; the result is that of :func:`mmlab.fit` for each.

    Every copy keeps its own start and sees its own items, by the same indices in every step, as it would alone with the
    same seed. The gradients are not clipped, since a norm over all copies would tie them together.

    Args:
        methods: Trained in place; of one class, with parameters of the same shapes, and without dropout.
        datasets: One for each method: the same keys, shapes and number of items.
        **arguments: As for :func:`mmlab.fit`; ``clip_norm`` can only be None.

    Returns:
        The history of the sum of the losses.

    Raises:
        ValueError: If there is no method, numbers differ, copies or data have different shapes, a copy draws random
            numbers in training, or gradients are to be clipped.
    """
    _check(methods, datasets, arguments)
    stack = _Stack()
    stack.take(methods)
    keys = list(datasets[0].tensors)
    data = {f"{_EACH}{key}": torch.stack([part.tensors[key] for part in datasets], 1) for key in keys}
    history = fit(stack, TensorData(data), **arguments | {"clip_norm": None})
    stack.give_back(methods)
    return history


class _Loss(nn.Module):
    """The loss of a method as the forward pass of a module, which ``functional_call`` can run with other weights."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method
        self.rng = torch.Generator()

    def forward(self, batch: Batch) -> Tensor:
        return self.method.loss(batch, self.rng)["loss"]


class _Stack(Method):
    """The parameters of all copies, one tensor for each name; those of one dimension stay flat, as decay goes by it."""

    def take(self, methods: Sequence[Method]) -> None:
        """Stack the weights of the methods."""
        states = [dict(_Loss(method).named_parameters()) for method in methods]
        self.shapes = {name: (len(states), *value.shape) for name, value in states[0].items()}
        together = {name: torch.stack([state[name].detach() for state in states]) for name in self.shapes}
        self.moving = [name for name, value in states[0].items() if value.requires_grad]
        self.stacked = nn.ParameterList([_flat(together[name]) for name in self.moving])
        buffers = [dict(_Loss(method).named_buffers()) for method in methods]
        self.fixed = {name: torch.stack([part[name] for part in buffers]) for name in buffers[0]}
        self.fixed |= {name: value for name, value in together.items() if name not in self.moving}
        self.pattern = [_Loss(methods[0])]  # in a list, so that its weights are no part of this module

    def weights(self) -> dict[str, Tensor]:
        """The moving weights by name, with the copies as first dimension."""
        pairs = zip(self.moving, self.stacked, strict=True)
        return {name: value.view(self.shapes[name]) for name, value in pairs}

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The sum of the copies' losses, so that each gets the gradient that it would have alone."""

        def one(weights: dict[str, Tensor], fixed: dict[str, Tensor], items: Batch) -> Tensor:
            found: Tensor = functional_call(self.pattern[0].train(), weights | fixed, (items,))
            return found

        items = {key.removeprefix(_EACH): value for key, value in batch.items()}  # (B, copies, ...)
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention cannot be stacked
            losses = vmap(one, in_dims=(0, 0, 1))(self.weights(), self.fixed, items)  # (copies,)
        return {"loss": losses.sum()}

    def give_back(self, methods: Sequence[Method]) -> None:
        """Write the trained weights into the methods."""
        with torch.no_grad():
            for name, values in self.weights().items():
                for method, value in zip(methods, values, strict=True):
                    _Loss(method).get_parameter(name).copy_(value)
        for method in methods:
            method.eval()


def _flat(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.flatten() if value.ndim < 3 else value)


def _check(methods: Sequence[Method], datasets: Sequence[TensorData], arguments: dict[str, Any]) -> None:
    if not methods or len(methods) != len(datasets):
        raise ValueError(f"There are {len(methods)} methods and {len(datasets)} datasets: give one for each.")
    if arguments.get("clip_norm") is not None:
        raise ValueError("clip_norm: a norm over all copies would tie them together; leave it out.")
    kinds = [{name: value.shape for name, value in method.state_dict().items()} for method in methods]
    if any(type(method) is not type(methods[0]) for method in methods) or any(kind != kinds[0] for kind in kinds):
        raise ValueError("The methods differ in class or in shapes: side by side goes with copies of one method.")
    looks = [{key: value.shape for key, value in data.tensors.items()} for data in datasets]
    if any(look != looks[0] for look in looks):
        raise ValueError("The datasets differ in keys, shapes or number of items: cut them to the same.")
    dropped: Any = [part.p for part in methods[0].modules() if isinstance(part, nn.Dropout)]
    dropped.append(getattr(methods[0], "modality_dropout", 0))
    if any(dropped):
        raise ValueError("The methods draw random numbers in training (dropout): set it to 0, or train them singly.")
