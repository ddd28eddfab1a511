"""One objective with its own optimiser: it moves its own parameters and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmlab.method import Batch, Method, Objective
from mmlab.train.door import beyond, lack, misfit
from mmlab.train.numbers import as_whole
from mmlab.train.optimisers import Optimiser
from mmlab.train.pieces import Piece
from mmlab.train.randomness import derive, seed_dropout
from mmlab.train.settings import Settings
from mmlab.train.shards import gathered, placed_like

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Learner", "NotFiniteError", "expected_moments", "part_of"]


class NotFiniteError(Exception):
    """A loss or a gradient is not finite; nothing was updated.

    Attributes:
        what: What it was, for example ``"loss is nan"``.
        pieces: In which pieces of the batch, or None if that is not known.
    """

    def __init__(self, what: str, pieces: list[int] | None) -> None:
        super().__init__(what)
        self.what = what
        self.pieces = pieces


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
    """An objective, prepared by Accelerate, and its optimiser.

    Args:
        accelerator: Places, wraps and synchronises.
        method: Already on its device.
        number: Which of ``method.objectives()``.
        settings: Settings of the run.

    Raises:
        ValueError: If the objective has no parameter to train, one that is not the method's, or an impossible setting.
    """

    def __init__(self, accelerator: Accelerator, method: Method, number: int, settings: Settings) -> None:
        self.accelerator = accelerator
        self.method = method
        self.settings = settings
        objective = method.objectives()[number]
        self.name = objective.name
        self.title = _title(method, self.name)
        self.every = self._count("every", objective)
        self.times = self._count("times", objective)
        self.kind = self._optimiser(objective.optimiser)
        self.rng = torch.Generator(accelerator.device)
        with _frozen(_other_parameters(method, number)):  # a distributed wrapper synchronises what is trainable now
            optimizer = self.kind.build(_own_parameters(method, number))
            self.loss, prepared = accelerator.prepare(LossModule(method, number), optimizer)
        self.scaled = accelerator.scaler is not None
        # Without a gradient scaler, Accelerate's wrapper of the optimiser adds nothing but a search for an uninstalled
        # package on the disk, in every step: a quarter of a millisecond.
        self.optimizer = prepared if self.scaled else prepared.optimizer
        # In the same way its `backward` divides by one, where it does not scale.
        self.backward = accelerator.backward if self.scaled else torch.autograd.backward
        # What was neither wrapped nor cast need not go through the call of a module.
        plain = type(self.loss) is LossModule and settings.precision == "no"
        self.compute = self.loss.compute if plain else self.loss
        self.parameters = _own_parameters(method, number)  # a sharding wrapper may have put others in their place
        self.others = _other_parameters(method, number)
        named = {id(parameter): name for name, parameter in method.named_parameters()}
        if any(id(parameter) not in named for parameter in self.parameters):
            raise ValueError(f"{self.title} trains a parameter that is not one of the method's.")
        self.names = [named[id(parameter)] for parameter in self.parameters]
        kinds = {(parameter.device, parameter.dtype, parameter.layout) for parameter in self.parameters}
        self._one_norm = plain and accelerator.num_processes == 1 and len(kinds) == 1
        self._worked = False  # it has computed a loss
        self._zero_grad()

    def due(self, step: int) -> bool:
        """Whether the objective is updated in this step (from 0)."""
        return (step + 1) % self.every == 0

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
        try:
            values = self.compute(batch, self.rng)
        except KeyError as error:
            if (message := lack(self.title, batch, error)) is None:
                raise
            raise ValueError(message) from error
        except (RuntimeError, IndexError) as error:
            text = beyond(self.title, batch, error)
            if text is None and not self._worked:
                text = misfit(self.title, self.method, batch, error)
            if text is None:
                raise
            raise ValueError(text) from error
        self._worked = True
        if not isinstance(values, dict) or "loss" not in values:
            raise ValueError(f"{self.title} must return a dict with the key 'loss'.")
        names = sorted(values)
        scalars = [self._scalar(name, values[name]) for name in names]
        return names, values["loss"], torch.stack(scalars) if len(scalars) > 1 else scalars[0].view(1)

    def update(self, pieces: list[Piece], step: int, turn: int = 0) -> dict[str, float]:
        """One step of the optimiser on one batch.

        Args:
            pieces: The part of the batch that is this process's.
            step: Number of the step, from 0.
            turn: Number of the update within the step, from 0.

        Returns:
            What was measured, averaged over the items of all processes, with the objective's name in front.

        Raises:
            NotFiniteError: If the loss or the norm of the gradient is not finite. The parameters are untouched then.
        """
        purpose = ("train", step) if turn == 0 else ("train", step, "turn", turn)
        names: list[str] = []
        measured: list[Tensor] = []
        with _frozen(self.others) if self.others else nullcontext():
            for piece in pieces:
                with self._synchronised(last=piece is pieces[-1]):
                    names, loss, values = self.measure(piece.batch, *purpose, piece.number)
                    weight = piece.weight * self.accelerator.num_processes  # a wrapper takes the mean
                    # Of a whole batch the weight is one: a product and a sum less, a tenth of a step of 1e4 values.
                    self.backward(loss if weight == 1 else loss * weight)
                measured.append(values if piece.weight == 1 else values * piece.weight)
        numbers = dict(zip(names, self._summed(measured).tolist(), strict=True))
        if not math.isfinite(numbers["loss"]):
            self._zero_grad()
            raise NotFiniteError(f"loss is {numbers['loss']}", self._to_blame(pieces, names, measured))
        self._step(step)
        return {f"{self.name}/{name}" if self.name else name: value for name, value in numbers.items()}

    def not_finite(self) -> str | None:
        """The first of its parameters that is not finite, by name."""
        for name, parameter in zip(self.names, self.parameters, strict=True):
            if not gathered(parameter.detach()).isfinite().all():
                return name
        return None

    def state(self) -> dict[str, Tensor]:
        """What the optimiser holds: ``parameter.moment``, for parameters that have had a gradient; shards gathered."""
        return {
            f"{name}.{key}": gathered(value)
            for name, parameter in zip(self.names, self.parameters, strict=True)
            for key, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, Tensor)  # SGD notes None where it has no momentum
        }

    def expected(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors like those that :meth:`load` needs, for the parameters that a state has anything of."""
        known = {name.rpartition(".")[0] for name in state}
        return {
            f"{name}.{key}": like
            for name, parameter in zip(self.names, self.parameters, strict=True)
            for key, like in self.kind.moments(parameter).items()
            if name in known
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state` gave; its names, shapes and types must be those that are expected."""
        for name, parameter in zip(self.names, self.parameters, strict=True):
            held = {key: state[f"{name}.{key}"] for key in self.kind.moments(parameter) if f"{name}.{key}" in state}
            if not held:
                continue  # it never had a gradient
            for key, value in held.items():
                if key == "step":
                    where = parameter.device if self.optimizer.defaults.get("fused") else "cpu"
                    held[key] = value.to(where, copy=True)
                else:
                    held[key] = placed_like(value, parameter)
            self.optimizer.state[parameter] = held

    def identity(self) -> dict[str, Any]:
        """What decides how the parameters are moved."""
        return {"every": self.every, "times": self.times, "optimiser": self.kind.identity()}

    def _count(self, name: str, objective: Objective) -> int:
        value = getattr(objective, name)
        count = as_whole(value)
        if count is None or count < 1:
            raise ValueError(f"{self.title} has {name}={value!r}; it must be a whole number, 1 or more.")
        return count

    def _optimiser(self, own: Any) -> Optimiser:
        chosen = self.settings.optimiser if own is None else own
        try:
            chosen = Optimiser(chosen) if isinstance(chosen, str) else chosen
        except ValueError as error:
            raise ValueError(f"{self.title}: {error}") from None
        if not isinstance(chosen, Optimiser):
            raise ValueError(f"{self.title} has the optimiser {chosen!r}; it must be a name or an Optimiser.")
        return chosen.with_defaults(self.settings.weight_decay, self.settings.betas)

    def _scalar(self, name: str, value: Any) -> Tensor:
        value = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value, device=self.accelerator.device)
        if value.ndim == 0:
            return value if value.dtype is torch.float32 else value.float()
        if value.numel() != 1:
            raise ValueError(f"{self.title} returned {name!r} of shape {tuple(value.shape)}, not a scalar.")
        return value.float().reshape(())

    def _synchronised(self, last: bool) -> Any:
        """Processes exchange gradients in the backward pass of the last piece only."""
        if last or self.accelerator.num_processes == 1:
            return nullcontext()
        return self.accelerator.no_sync(self.loss)

    def _summed(self, measured: list[Tensor]) -> Tensor:
        total = torch.stack(measured).sum(0) if len(measured) > 1 else measured[0]
        return self.accelerator.reduce(total, "sum") if self.accelerator.num_processes > 1 else total

    def _to_blame(self, pieces: list[Piece], names: list[str], measured: list[Tensor]) -> list[int] | None:
        if self.accelerator.num_processes > 1:
            return None
        at = names.index("loss")
        return [p.number for p, values in zip(pieces, measured, strict=True) if not values[at].isfinite()]

    def _step(self, step: int) -> None:
        if self.scaled:
            self.accelerator.unscale_gradients(self.optimizer)
        self.method.after_backward()
        bound = math.inf if self.settings.clip_norm is None else self.settings.clip_norm
        total = self._norm([p.grad for p in self.parameters if p.grad is not None])
        norm = float(gathered(total))
        if not self.scaled and not math.isfinite(norm):  # a scaler skips such steps itself
            self._zero_grad()
            raise NotFiniteError(f"norm of the gradient is {norm}", None)
        if not norm < 0.99 * bound:  # else the gradient would be multiplied by one
            torch.nn.utils.clip_grads_with_norm_(self.parameters, bound, total)
        rate = self.settings.rate(step, self.name, self.kind.settings.get("lr"))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self._zero_grad()

    def _norm(self, gradients: list[Tensor]) -> Tensor:
        """Norm of all gradients; where all are of one kind, without torch's search for kinds: the same bits, sooner."""
        if self._one_norm and gradients:
            return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        return torch.nn.utils.get_total_norm(gradients)

    def _zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def _own_parameters(method: Method, number: int) -> list[nn.Parameter]:
    objective = method.objectives()[number]
    parameters = list({id(p): p for p in objective.parameters if p.requires_grad}.values())
    if not parameters and method.is_solved():
        raise ValueError(f"{type(method).__name__} is solved and not trained: call its solve(dataset) in place of fit.")
    if not parameters:
        raise ValueError(f"{_title(method, objective.name)} has no parameter that requires a gradient.")
    return parameters


def _other_parameters(method: Method, number: int) -> list[nn.Parameter]:
    own = {id(parameter) for parameter in _own_parameters(method, number)}
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


def expected_moments(learners: Sequence[Learner], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors like those that all learners need from a checkpoint, under the names that it gives them."""
    return {
        f"{number}.{name}": tensor
        for number, learner in enumerate(learners)
        for name, tensor in learner.expected(part_of(tensors, number)).items()
    }


def part_of(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """The tensors of one learner, without its number in front."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
