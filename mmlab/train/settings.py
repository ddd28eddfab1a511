"""The arguments of a run, checked before anything else happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from torch import Tensor

from mmlab.train.numbers import as_float, as_whole
from mmlab.train.optimisers import OPTIMISERS, Optimiser

__all__ = ["Precision", "Schedule", "Settings"]

Schedule = Literal["constant", "cosine"]
Precision = Literal["no", "bf16", "fp16"]


@dataclass(frozen=True)
class Settings:
    """What :func:`mmlab.fit` was asked to do; its docstring explains each argument.

    Raises:
        ValueError: If an argument has an impossible value; the message names it and says what is possible.
    """

    steps: int
    batch_size: int = 64
    lr: float | Mapping[str, float] = 1e-3
    seed: int = 0
    validate_every: int | None = None
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 0
    schedule: Schedule = "constant"
    clip_norm: float | None = 1.0
    ema_decay: float | None = None
    accumulation: int = 1
    precision: Precision = "no"
    save_every: int | None = None
    log_every: int = 1
    workers: int = 0
    optimiser: str | Optimiser = "adamw"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every"):
            self._whole(name, 1)
        for name in ("seed", "warmup", "workers"):
            self._whole(name, 0)
        for name in ("validate_every", "save_every"):
            if getattr(self, name) is not None:
                self._whole(name, 1)
        self._rates()
        self._number("weight_decay", "a finite number, 0 or more", lambda value: 0 <= value < math.inf)
        if self.clip_norm is not None:
            self._number("clip_norm", "a positive number, or None for no clipping", lambda value: value > 0)
        if self.ema_decay is not None:
            self._number("ema_decay", "a number in [0, 1), or None for no averaging", lambda value: 0 <= value < 1)
        self._betas()
        self._check("schedule", self.schedule, self.schedule in ("constant", "cosine"), "'constant' or 'cosine'")
        self._check("precision", self.precision, self.precision in ("no", "bf16", "fp16"), "'no', 'bf16' or 'fp16'")
        enough = self.batch_size >= self.accumulation
        self._check("accumulation", self.accumulation, enough, f"at most the batch_size, {self.batch_size}")
        self._optimiser()

    def rate(self, step: int, objective: str = "", own: float | None = None) -> float:
        """The learning rate of an objective in a step (from 0): linear warm-up, then constant or half a cosine.

        Args:
            step: Number of the step.
            objective: Its name, where there is one rate for each.
            own: The rate that the objective's optimiser brings, in place of ``lr``.
        """
        base = self._base(objective) if own is None else own
        if step < self.warmup:
            return base * (step + 1) / self.warmup
        if self.schedule == "constant":
            return base
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return base * 0.5 * (1 + math.cos(math.pi * progress))

    def _base(self, objective: str) -> float:
        return self.lr[objective] if isinstance(self.lr, Mapping) else self.lr

    def check_rates(self, objectives: Sequence[str]) -> None:
        """Refuse learning rates by name that are not the objectives' names.

        Raises:
            ValueError: If they differ.
        """
        if isinstance(self.lr, Mapping) and sorted(self.lr) != sorted(objectives):
            raise ValueError(f"fit: lr names the objectives {sorted(self.lr)}; the method has {sorted(objectives)}.")

    def check_betas(self, optimisers: Sequence[str]) -> None:
        """Refuse betas that no optimiser of the run would use.

        Raises:
            ValueError: If they were given and all optimisers are SGD.
        """
        if self.betas != Settings.betas and set(optimisers) == {"sgd"}:
            raise ValueError(
                f"fit: betas is {self.betas!r}, and SGD has none: leave it out, use optimiser='adamw', or give SGD a "
                "momentum with Optimiser('sgd', momentum=0.9) from mmlab.train.optimisers."
            )

    def identity(self, ends: bool = False) -> dict[str, Any]:
        """The arguments that decide which numbers come out: a checkpoint goes on only with the same.

        Args:
            ends: Whether the method itself depends on ``steps``; they count under a schedule that ends, too.
        """
        free = {"steps", "save_every", "workers", "optimiser"}  # the optimisers are the objectives' business
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in free}
        return values | {"steps": self.steps} if ends or self.schedule != "constant" else values

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        whole = as_whole(value)
        self._check(name, value, whole is not None and whole >= least, f"a whole number, {least} or more")
        object.__setattr__(self, name, whole)

    def _number(self, name: str, wanted: str, good: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        number = as_float(value)
        self._check(name, value, number is not None and good(number), wanted)
        object.__setattr__(self, name, number)

    def _rates(self) -> None:
        named = isinstance(self.lr, Mapping)
        rates = {}
        for objective, rate in (self.lr if isinstance(self.lr, Mapping) else {"": self.lr}).items():
            number = as_float(rate)
            title = f"lr of {objective!r}" if objective else "lr"
            self._check(title, rate, number is not None and 0 < number < math.inf, "a positive number")
            rates[objective] = number
        object.__setattr__(self, "lr", rates if named else rates[""])

    def _betas(self) -> None:
        pair = self.betas if isinstance(self.betas, Sequence | np.ndarray | Tensor) else ()
        numbers = [as_float(beta) for beta in pair]
        good = len(numbers) == 2 and all(number is not None and 0 <= number < 1 for number in numbers)
        self._check("betas", self.betas, good, "two numbers in [0, 1)")
        object.__setattr__(self, "betas", tuple(numbers))

    def _optimiser(self) -> None:
        named = isinstance(self.optimiser, str | Optimiser)
        self._check("optimiser", self.optimiser, named, f"one of {', '.join(map(repr, OPTIMISERS))}, or an Optimiser")
        if isinstance(self.optimiser, str):
            try:
                object.__setattr__(self, "optimiser", Optimiser(self.optimiser))
            except ValueError as error:
                raise ValueError(f"fit: {error}") from None

    def _check(self, name: str, value: object, good: bool, wanted: str) -> None:
        if not good:
            raise ValueError(f"fit: {name} is {value!r}; it must be {wanted}.")
