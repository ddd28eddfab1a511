"""The optimisers that a run can use, by name and settings, and what a checkpoint keeps of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmlab.train.numbers import as_float
from mmlab.wording import nearest

__all__ = ["OPTIMISERS", "Optimiser"]

_FRACTION = "a number in [0, 1)"
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lr": (lambda value: _number(value) and value > 0, "a positive number"),
    "weight_decay": (lambda value: _number(value) and value >= 0, "0 or more"),
    "eps": (lambda value: _number(value) and value > 0, "a positive number"),
    "betas": (lambda value: _pair_of_fractions(value), f"two numbers, each {_FRACTION}"),
    "momentum": (lambda value: _number(value) and 0 <= value < 1, _FRACTION),
    "nesterov": (lambda value: isinstance(value, bool), "True or False"),
}
_ADAM = ("lr", "weight_decay", "betas", "eps")
OPTIMISERS: dict[str, tuple[str, ...]] = {
    "adamw": _ADAM,
    "adam": _ADAM,
    "sgd": ("lr", "weight_decay", "momentum", "nesterov"),
}
"""The settings that each optimiser takes, by its name."""


class Optimiser:
    """An optimiser by name, with the settings in which it differs from what :func:`mmlab.fit` was told.

    ``"adamw"`` is AdamW (Loshchilov and Hutter 2019), whose weight decay is apart from the gradient. In ``"adam"``
    (Kingma and Ba 2015) and ``"sgd"`` (with ``momentum``, and ``nesterov`` for Nesterov's kind) it is added to the
    gradient. With all three it is for parameters of two dimensions or more, so that biases and gains are not pulled
    to zero.

    Args:
        name: ``"adamw"``, ``"adam"`` or ``"sgd"``.
        **settings: ``lr`` and ``weight_decay`` for all; ``betas`` and ``eps`` for the two Adams; ``momentum`` (default
            0) and ``nesterov`` (default False) for SGD. What is left out is taken from the arguments of fit.

    Raises:
        ValueError: If there is no such optimiser, it has no such setting, or the value is impossible.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        if name not in OPTIMISERS:
            raise ValueError(f"There is no optimiser {name!r}: {nearest(str(name), OPTIMISERS)}")
        for key, value in settings.items():
            if key not in OPTIMISERS[name]:
                raise ValueError(f"Optimiser {name!r} has no setting {key!r}: {nearest(key, OPTIMISERS[name])}")
            good, wanted = _CHECKS[key]
            if not good(value):
                raise ValueError(f"Optimiser {name!r}: {key} is {value!r}; it must be {wanted}.")
        if settings.get("nesterov") and not settings.get("momentum"):
            raise ValueError("Optimiser 'sgd': nesterov=True needs a momentum, for example momentum=0.9.")
        self.name = name
        self.settings = {key: _plain(value) for key, value in sorted(settings.items())}

    def with_defaults(self, weight_decay: float, betas: tuple[float, float]) -> Optimiser:
        """The same optimiser, with those of these settings that it takes and was not given."""
        offered = {"weight_decay": weight_decay, "betas": betas}
        taken = {key: value for key, value in offered.items() if key in OPTIMISERS[self.name]}
        return Optimiser(self.name, **{**taken, **self.settings})

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser over these parameters, at learning rate 1: a run sets the rate before every step.

        The fused kernels are used where they exist: one call for all parameters in place of several for each.
        """
        settings = {key: value for key, value in self.settings.items() if key not in ("lr", "weight_decay")}
        decay = self.settings.get("weight_decay", 0.0)
        groups = [{"params": parameters, "weight_decay": 0.0}]
        if decay:
            groups = [
                {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            ]
        fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
        kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        optimiser: torch.optim.Optimizer = kinds[self.name](  # type: ignore[operator]
            [group for group in groups if group["params"]], lr=1.0, fused=fused, **settings
        )
        return optimiser

    def moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """Tensors like those that the optimiser holds for one parameter once it has moved it, by their names."""
        like = parameter.detach()
        if self.name == "sgd":
            return {"momentum_buffer": like} if self.settings.get("momentum") else {}
        return {"step": torch.zeros((), dtype=torch.float32), "exp_avg": like, "exp_avg_sq": like}

    def identity(self) -> dict[str, Any]:
        """Name and settings as JSON gives them back."""
        return {"name": self.name, **self.settings}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimiser) and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        settings = "".join(f", {key}={value!r}" for key, value in self.settings.items())
        return f"Optimiser({self.name!r}{settings})"


def _number(value: object) -> bool:
    number = as_float(value)
    return number is not None and math.isfinite(number)


def _pair_of_fractions(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(_number(b) and 0 <= b < 1 for b in value)


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: numbers as Python's own, tuples as lists."""
    if isinstance(value, bool):
        return value
    return [as_float(number) for number in value] if isinstance(value, tuple | list) else as_float(value)
