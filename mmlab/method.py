"""The base class of every method: a module that also owns its objective."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from mmlab.card import Card
from mmlab.store.saving import Saved

__all__ = ["Batch", "Classifier", "Draws", "Method", "Objective", "Translator", "Writer"]

Batch = dict[str, Tensor]
"""A batch: tensors with first dimension B, keyed by modality or role."""

LossFunction = Callable[[Batch, torch.Generator], dict[str, Tensor]]


class Named(Protocol):
    """An optimiser by name and settings, as :class:`mmlab.train.optimisers.Optimiser` is."""

    name: str

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser over these parameters."""


@dataclass(frozen=True)
class Objective:
    """One optimiser's share of a method: what it minimises, over which parameters, and how often.

    Attributes:
        name: Prefix of its columns in the history, for example ``"generator"``.
        parameters: The parameters that its optimiser moves; a list, since an iterator would be used up.
        loss: Function of (batch, rng) that returns a dict; its ``"loss"`` is minimised, the rest is logged.
        optimiser: Its own optimiser, by name or as :class:`mmlab.train.optimisers.Optimiser`; None: that of the run.
        every: It is updated in every so-many-th step only: with 5, in the steps 5, 10, 15, ... So a critic is ahead
            of a generator whose ``every`` is 5.
        times: Updates in each of its steps, on the same batch, each with randomness of its own.
    """

    name: str
    parameters: list[nn.Parameter]
    loss: LossFunction
    optimiser: Named | str | None = None
    every: int = 1
    times: int = 1


@dataclass(frozen=True)
class Draws:
    """The claim of a method that its ``sample`` draws from the law of the target given the source. A test holds it.

    Attributes:
        arguments: Arguments of the constructor with which it does; by default none but the shape.
        correlations: Whether its values are correlations, between -1 and 1.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    correlations: bool = False


@runtime_checkable
class Translator(Protocol):
    """A method that turns a source into a sample of its target."""

    def sample(self, source: Tensor, *, rng: torch.Generator) -> Tensor:
        """Samples of the target, shape (B, ...), one for each source (B, ...); further arguments have defaults."""


@runtime_checkable
class Classifier(Protocol):
    """A method that tells how probable each class is."""

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities, shape (B, K)."""


@runtime_checkable
class Writer(Protocol):
    """A method that goes on with a text."""

    def generate(self, batch: Batch) -> Tensor:
        """Tokens, shape (B, T); further arguments have defaults."""


class Method(nn.Module, Saved):
    """A published method: an ``nn.Module`` with its card and its smallest honest example.

    A subclass sets :attr:`card`, takes constructor arguments that JSON can hold (they are the saved configuration; an
    argument may also take a network, see :class:`mmlab.store.saving.Saved`), and gives :meth:`demo`. It draws
    randomness only from the generator that it is handed, and knows no training loop. There are three kinds:

    - **Trained** by :func:`mmlab.fit`: it has :meth:`loss`, or :meth:`objectives` if it needs several optimisers. It
      may have :meth:`prepare`, :meth:`after_backward` and :meth:`after_step`.
    - **Solved** in closed form: it has :meth:`solve`, which takes the whole dataset.
    - **Wrapping** a model that others trained: it has neither, holds that model as a submodule, and has a verb.

    The verb fits the task: ``sample`` (:class:`Translator`), ``predict`` (:class:`Classifier`) or ``generate``
    (:class:`Writer`); ``mmlab evaluate`` and ``mmlab sample`` go by these three. Others, such as ``embed``, are free.

    Attributes:
        draws: Set by every class with ``sample``: whether it draws from the law of the target given the source (a
            :class:`Draws`), or gives an expected target, a map, or a law of another kind (None).
        uses_progress: Whether the training looks at :attr:`progress`. Step k of 100 is another one than step k of 200
            then, so a run cannot be made longer afterwards. A method that looks at it has to say so.
        progress: Fraction of the training that is done, from 0 to 1. :func:`mmlab.fit` sets it before every step, for
            objectives that change on the way; a loop of your own sets it too.
    """

    card: ClassVar[Card]
    draws: ClassVar[Draws | None]
    uses_progress: ClassVar[bool] = False
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

    def solve(self, dataset: Any) -> Self:
        """Fit in closed form to all items of a dataset.

        Args:
            dataset: With ``len()`` and ``dataset[i]``, a dict of tensors with the keys in ``card.inputs``.

        Returns:
            The method itself.
        """
        raise NotImplementedError(f"{type(self).__name__} is not solved: train it with mmlab.fit(method, dataset).")

    @classmethod
    def is_trained(cls) -> bool:
        """Whether it has a loss, or objectives, for :func:`mmlab.fit`."""
        return cls.loss is not Method.loss or cls.objectives is not Method.objectives

    @classmethod
    def is_solved(cls) -> bool:
        """Whether it has a :meth:`solve` of its own."""
        return cls.solve is not Method.solve

    def prepare(self, batch: Batch, rng: torch.Generator) -> Batch:
        """What all objectives of a step see in place of the batch: recoupled pairs, rollouts, a teacher's outputs.

        :func:`mmlab.fit` calls it once for every batch (or piece of it), without gradients, in validation too.

        Args:
            batch: As the dataset gives it; it must be left as it is.
            rng: The only source of randomness.

        Returns:
            A batch with the same items, or others in their place, and as many further keys as are needed.
        """
        return batch

    def after_backward(self) -> None:
        """Look at the gradients of an update, or change them, before they are clipped and the optimiser uses them.

        :func:`mmlab.fit` calls it in every update of every objective, when the gradients of the whole batch are there;
        only those of the parameters of that objective are.
        """

    def after_step(self) -> None:
        """Move what no optimiser moves: a teacher, a queue, a projection of the weights.

        :func:`mmlab.fit` calls it at the end of every step, after the updates of all objectives, without gradients.
        What it moves must be parameters or buffers: nothing else is in a checkpoint.
        """

    def start_from(self, dataset: Any) -> None:
        """Find in closed form what training starts from, for example a linear regression; by default nothing.

        :func:`mmlab.fit` calls it before the first step. What it finds lives in buffers and is saved with the weights;
        a method that was started before leaves it as it is.

        Args:
            dataset: The training items, with ``len()`` and ``dataset[i]``.
        """

    def objectives(self) -> list[Objective]:
        """The optimisers' tasks: by default one, over all parameters that require a gradient."""
        return [Objective("", [p for p in self.parameters() if p.requires_grad], self.loss)]

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """The smallest honest instance of the method and a batch for it. The tests train it."""
        raise NotImplementedError(f"{cls.__name__} needs a demo(): the contract tests stand on it.")

    @classmethod
    def seeded(cls, seed: int, *args: Any, **arguments: Any) -> Self:
        """An instance whose initial weights are a function of the seed; the global random state is left alone.

        Args:
            seed: Seed of the initial weights.
            *args: Arguments of the constructor.
            **arguments: Arguments of the constructor, by name.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return cls(*args, **arguments)

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
