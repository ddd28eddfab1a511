"""One objective with its own optimiser: it moves its own parameters and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from mmlab.method import Batch, Method
from mmlab.train.randomness import derive, seed_dropout
from mmlab.train.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Learner", "NotFiniteError", "Piece"]


class Piece(NamedTuple):
    """A part of one step's batch.

    Attributes:
        number: Which part of the batch it is.
        weight: Its share of the batch's items; the weights of all pieces sum to 1.
        batch: The items, on the device of the method.
    """

    number: int
    weight: float
    batch: Batch


class NotFiniteError(Exception):
    """A loss or a gradient is not finite; nothing was updated.

    Attributes:
        what: What it was, for example ``"loss is nan"``.
        pieces: In which pieces of the batch, or None if that is not known.
    """

    def __init__(self, what: str, pieces: list[int] | None) -> None:
        super().__init__(what)
        self.what, self.pieces = what, pieces


class LossModule(nn.Module):
    """A method as Accelerate wants it: calling it computes the loss, so wrapping it wraps the whole computation."""

    def __init__(self, method: Method, number: int) -> None:
        super().__init__()
        self.method = method
        self.compute = method.objectives()[number].loss

    def forward(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The losses and metrics of one piece of a batch."""
        return self.compute(batch, rng)


class Learner:
    """An objective, prepared by Accelerate, and its AdamW.

    Args:
        accelerator: Places, wraps and synchronises.
        method: Already on its device.
        number: Which of ``method.objectives()``.
        settings: Of the run.

    Raises:
        ValueError: If the objective has no parameter to train, or one that is not the method's.
    """

    def __init__(self, accelerator: Accelerator, method: Method, number: int, settings: Settings) -> None:
        self.accelerator, self.method, self.settings = accelerator, method, settings
        self.name = method.objectives()[number].name
        self.rng = torch.Generator(accelerator.device)
        with _frozen(_others(method, number)):  # a distributed wrapper synchronises what is trainable now
            optimizer = _adamw(_trained(method, number), settings)
            self.loss, prepared = accelerator.prepare(LossModule(method, number), optimizer)
        # Without a gradient scaler, Accelerate's wrapper of the optimiser adds nothing but a search for an uninstalled
        # package on the disk, in every step: a quarter of a millisecond.
        self.optimizer = prepared if accelerator.scaler is not None else prepared.optimizer
        # In the same way its `backward` divides by one, where it does not scale.
        self.backward = accelerator.backward if accelerator.scaler is not None else torch.autograd.backward
        self.parameters = _trained(method, number)  # a sharding wrapper may have put others in their place
        self.others = _others(method, number)
        named = {id(parameter): name for name, parameter in method.named_parameters()}
        if any(id(parameter) not in named for parameter in self.parameters):
            raise ValueError(f"{_title(method, self.name)} trains a parameter that is not one of the method's.")
        self.names = [named[id(parameter)] for parameter in self.parameters]
        self.sharded = hasattr(self.parameters[0], "full_tensor")
        self._forget()

    def measure(self, batch: Batch, *purpose: int | str) -> tuple[list[str], Tensor, Tensor]:
        """The objective on one batch, with the randomness that belongs to a purpose.

        Returns:
            The names of what was measured, the loss with its graph, and all values without it, shape (names,).

        Raises:
            ValueError: If the method does not return a dict of scalars with a ``"loss"``.
        """
        seed = derive(self.settings.seed, "noise", *purpose, self.name)
        self.rng.manual_seed(seed)
        seed_dropout(self.rng.device, seed ^ 0x5DEECE66D)  # another seed than that of the noise, without another hash
        values = self.loss(batch, self.rng)
        if not isinstance(values, dict) or "loss" not in values:
            raise ValueError(f"{_title(self.method, self.name)} must return a dict with the key 'loss'.")
        names = sorted(values)
        return names, values["loss"], torch.stack([self._scalar(name, values[name]) for name in names])

    def _scalar(self, name: str, value: Any) -> Tensor:
        value = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value, device=self.accelerator.device)
        if value.numel() != 1:
            shape = tuple(value.shape)
            raise ValueError(f"{_title(self.method, self.name)} returned {name!r} of shape {shape}, not a scalar.")
        return value.float() if value.ndim == 0 else value.float().reshape(())

    def update(self, pieces: list[Piece], step: int) -> dict[str, float]:
        """One step of the optimiser on one batch.

        Args:
            pieces: The part of the batch that is this process's.
            step: Number of the update, from 0.

        Returns:
            What was measured, averaged over the items of all processes, with the objective's name in front.

        Raises:
            NotFiniteError: If the loss or the norm of the gradient is not finite. The parameters are untouched then.
        """
        processes = self.accelerator.num_processes
        names: list[str] = []
        each: list[Tensor] = []
        with _frozen(self.others) if self.others else nullcontext():
            for piece in pieces:
                final = processes == 1 or piece is pieces[-1]
                with nullcontext() if final else self.accelerator.no_sync(self.loss):
                    names, loss, values = self.measure(piece.batch, "train", step, piece.number)
                    share = piece.weight * processes  # the wrapper averages over processes; we want the sum
                    self.backward(loss if share == 1 else loss * share)
                each.append(values if piece.weight == 1 else values * piece.weight)
        total = each[0] if len(each) == 1 else torch.stack(each).sum(0)
        if processes > 1:
            total = self.accelerator.reduce(total, "sum")
        numbers = dict(zip(names, total.tolist(), strict=True))
        if not math.isfinite(numbers["loss"]):
            at = names.index("loss")
            bad = [piece.number for piece, values in zip(pieces, each, strict=True) if not values[at].isfinite()]
            self._forget()
            raise NotFiniteError(f"loss is {numbers['loss']}", bad if processes == 1 else None)
        self._descend(step)
        return {f"{self.name}/{name}" if self.name else name: value for name, value in numbers.items()}

    def _descend(self, step: int) -> None:
        bound = math.inf if self.settings.clip_norm is None else self.settings.clip_norm
        scaled = self.accelerator.scaler is not None
        if scaled:
            self.accelerator.unscale_gradients(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, bound)
        size = float(norm.full_tensor() if self.sharded else norm)  # type: ignore[attr-defined]
        if not scaled and not math.isfinite(size):  # a scaler skips such steps itself
            self._forget()
            raise NotFiniteError(f"norm of the gradient is {size}", None)
        rate = self.settings.rate(step, self.name)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self._forget()

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def _trained(method: Method, number: int) -> list[nn.Parameter]:
    objective = method.objectives()[number]
    parameters = list({id(p): p for p in objective.parameters if p.requires_grad}.values())
    if not parameters and hasattr(method, "solve"):
        raise ValueError(f"{type(method).__name__} is solved and not trained: call its solve(dataset) in place of fit.")
    if not parameters:
        raise ValueError(f"{_title(method, objective.name)} has no parameter that requires a gradient.")
    return parameters


def _adamw(parameters: list[nn.Parameter], settings: Settings) -> torch.optim.AdamW:
    groups = [{"params": parameters, "weight_decay": 0.0}]
    if settings.weight_decay:  # biases, gains and other vectors are not pulled to zero
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=1.0, betas=settings.betas, fused=fused)


def _others(method: Method, number: int) -> list[nn.Parameter]:
    own = {id(parameter) for parameter in _trained(method, number)}
    return [p for p in method.parameters() if p.requires_grad and id(p) not in own]


@contextmanager
def _frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Let no gradient reach these trainable parameters."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _title(method: Method, objective: str) -> str:
    kind = type(method).__name__
    return f"Objective {objective!r} of {kind}" if objective else f"The loss of {kind}"
