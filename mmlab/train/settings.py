"""The arguments of a run, checked before anything else happens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

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

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every"):
            self._whole(name, 1)
        for name in ("seed", "warmup", "workers"):
            self._whole(name, 0)
        for name in ("validate_every", "save_every"):
            if getattr(self, name) is not None:
                self._whole(name, 1)
        rates = self.lr if isinstance(self.lr, Mapping) else {"": self.lr}
        for objective, rate in rates.items():
            self._check(f"lr of {objective!r}" if objective else "lr", rate, 0 < rate < math.inf, "a positive number")
        self._check("weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")
        self._check(
            "betas", self.betas, len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "two numbers in [0, 1)"
        )
        self._check("schedule", self.schedule, self.schedule in ("constant", "cosine"), "'constant' or 'cosine'")
        self._check("precision", self.precision, self.precision in ("no", "bf16", "fp16"), "'no', 'bf16' or 'fp16'")
        clip, decay = self.clip_norm, self.ema_decay
        self._check("clip_norm", clip, clip is None or clip > 0, "a positive number, or None for no clipping")
        self._check("ema_decay", decay, decay is None or 0 <= decay < 1, "a number in [0, 1), or None for no averaging")
        enough = self.batch_size >= self.accumulation
        self._check("accumulation", self.accumulation, enough, f"at most the batch_size, {self.batch_size}")

    def rate(self, step: int, objective: str = "") -> float:
        """The learning rate of the update number ``step`` (from 0): linear warm-up, then constant or half a cosine."""
        base = self.lr if isinstance(self.lr, float) else self._base(objective)
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

    def identity(self, ends: bool = False) -> dict[str, Any]:
        """The arguments that decide which numbers come out: a checkpoint goes on only with the same.

        Args:
            ends: Whether the method itself depends on ``steps``; they count under a schedule that ends, too.
        """
        free = {"steps", "save_every", "workers"}
        values = {name: value for name, value in asdict(self).items() if name not in free}
        return values | {"steps": self.steps} if ends or self.schedule != "constant" else values

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        self._check(name, value, whole, f"a whole number, {least} or more")

    def _check(self, name: str, value: object, good: bool, wanted: str) -> None:
        if not good:
            raise ValueError(f"fit: {name} is {value!r}; it must be {wanted}.")
