"""The base class of every method: a module that also owns its objective."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mmlab.card import Card
from mmlab.store.saving import Saved

__all__ = ["Batch", "Method", "Objective"]

Batch = dict[str, Tensor]
"""A batch: tensors with first dimension B, keyed by modality or role."""

LossFunction = Callable[[Batch, torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Objective:
    """One optimiser's share of a method: what it minimises and over which parameters.

    Attributes:
        name: Prefix of its columns in the history, for example ``"generator"``.
        parameters: The parameters that its optimiser moves; a list, since an iterator would be used up.
        loss: Function of (batch, rng) that returns a dict; its ``"loss"`` is minimised, the rest is logged.
    """

    name: str
    parameters: list[nn.Parameter]
    loss: LossFunction


class Method(nn.Module, Saved):
    """A published method: an ``nn.Module`` with its loss, its card and its smallest honest example.

    A subclass sets :attr:`card`, takes plain JSON-able constructor arguments (they are the saved configuration), and
    gives :meth:`loss` and :meth:`demo`. It adds the verb that fits its task: ``sample``, ``predict``, ``embed`` or
    ``generate``. It draws randomness only from the generator that it is handed, and knows no training loop.

    Attributes:
        progress: Share of the training that is done, from 0 to 1. :func:`mmlab.fit` sets it before every step, for
            objectives that change on the way; a loop of your own sets it too.
    """

    card: ClassVar[Card]
    progress: float = 0.0

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The training objective.

        Args:
            batch: Tensors with first dimension B, with the keys in ``card.inputs``.
            rng: The only source of randomness; it lives on the device of the method.

        Returns:
            Scalars; ``"loss"`` is minimised, every other entry is logged.
        """
        raise NotImplementedError(f"{type(self).__name__} is solved or wrapped, not trained: it has no loss.")

    def objectives(self) -> list[Objective]:
        """The optimisers' tasks: by default one, over all parameters that require a gradient."""
        return [Objective("", [p for p in self.parameters() if p.requires_grad], self.loss)]

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The smallest honest instance of the method and a batch for it. The tests train it."""
        raise NotImplementedError(f"{cls.__name__} needs a demo(): the contract tests stand on it.")

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Constructor arguments that the data fix, so that ``mmlab train`` need not be told.

        By default ``shape`` is the shape of the first input, and ``shapes`` the shape of every modality, for methods
        that have such an argument; a method whose data fix more overrides this.

        Args:
            item: One item of the dataset: tensors without the batch dimension.
        """
        taken = inspect.signature(cls.__init__).parameters
        if "shapes" in taken:  # every key that is no label and no mask is a modality
            names = [name for name in sorted(item) if name != "label" and not name.endswith("_present")]
            return {"shapes": {name: list(item[name].shape) for name in names}}
        return {"shape": list(item[cls.card.inputs[0]].shape)} if "shape" in taken else {}

    @contextmanager
    def evaluating(self) -> Iterator[Self]:
        """Evaluation mode without gradients, for predictions in the middle of training; the mode is put back."""
        training = self.training
        try:
            with torch.no_grad():
                yield self.eval()
        finally:
            self.train(training)

    @property
    def device(self) -> torch.device:
        """Where the first parameter or buffer lives."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), torch.device("cpu"))
