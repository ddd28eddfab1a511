"""What a chapter leaves behind when it has run: when, on what, how long, how much memory, and what it measured."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmlab.store.folders import write_whole

__all__ = ["MEAN_SECONDS", "Receipt", "Status", "mean_seconds"]

MEAN_SECONDS = 35.0
"""Normalised processor seconds that a chapter may take on average, over the whole book."""

_DERIVED = ("normalised_cpu_seconds", "within_budget")  # written for readers, worked out again when read

Status = Literal[
    "ok",
    "bad parameters",
    "no kernel",
    "cell error",
    "exit",
    "cell timeout",
    "total timeout",
    "dead kernel",
    "incomplete",
]
"""How a run ended. Only ``"ok"`` leaves a notebook; ``"incomplete"`` is one in which some cell did not run."""


@dataclass(frozen=True)
class Receipt:
    """The account of one run of one chapter.

    Attributes:
        stem: The chapter.
        profile: ``"cpu"`` or ``"gpu"``.
        status: How the run ended.
        key: Hash of all that the outputs depend on.
        inputs: The parts of the key.
        date: When the run began, UTC, ISO 8601.
        seconds: Wall time from start to end, start of the kernel included.
        cpu_seconds: Processor time of the kernel and its children: on a busy machine, less than ``seconds``.
        peak_memory_mb: Most memory that the kernel and its children held, in MB (10^6 bytes).
        device: What it ran on.
        versions: Versions of Python, mmlab, torch and NumPy.
        budget: What the card allows: ``seconds`` as :attr:`counted_seconds` counts them, and ``memory_mb``.
        machine_factor: Processor seconds that the machine takes for one of the reference machine, by a fixed workload.
        metrics: What the notebook recorded with :func:`mmlab.viz.record`.
        output: Hash of the executed notebook; empty if there is none.
        reason: Why it ran: what had changed since the run before.
        error: What went wrong, for status other than ``"ok"``.
        cached: Whether this is the receipt of an earlier run with the same key. Not written to the file.
    """

    stem: str
    profile: str
    status: Status
    key: str
    inputs: dict[str, Any]
    date: str
    seconds: float
    peak_memory_mb: float
    device: str
    versions: dict[str, str]
    budget: dict[str, float]
    cpu_seconds: float = 0.0
    machine_factor: float = 1.0
    metrics: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    reason: str = ""
    error: str = ""
    cached: bool = field(default=False, compare=False)

    @property
    def normalised_cpu_seconds(self) -> float:
        """Processor seconds as the reference machine would have taken: the same on a slow machine and on a fast one."""
        return self.cpu_seconds / self.machine_factor

    @property
    def counted_seconds(self) -> float:
        """The seconds that the budget is about: of the reference processor, or of the clock for the ``gpu`` profile."""
        return self.seconds if self.profile == "gpu" else self.normalised_cpu_seconds

    @property
    def over(self) -> list[str]:
        """What went over the budget: ``"time"``, ``"memory"``, both or nothing."""
        over = {
            "time": self.counted_seconds > self.budget["seconds"],
            "memory": self.peak_memory_mb > self.budget["memory_mb"],
        }
        return [name for name, is_over in over.items() if is_over]

    @property
    def within_budget(self) -> bool:
        """Whether both time and memory stayed within what the card allows."""
        return not self.over

    def write(self, path: Path) -> None:
        """Write the receipt as JSON, whole or not at all."""
        content = {key: value for key, value in dataclasses.asdict(self).items() if key != "cached"}
        content |= {name: getattr(self, name) for name in _DERIVED}
        write_whole(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Receipt | None:
        """The receipt in a file, or None if there is none or it cannot be understood: then the chapter runs again."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if "machine_factor" not in content:  # it was judged by the clock
                return None
            return cls(**{name: value for name, value in content.items() if name not in _DERIVED})
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None


def mean_seconds(receipts: Iterable[Receipt]) -> float | None:
    """Normalised processor seconds of a chapter on average, of those that ran in the ``cpu`` profile; None if none did.

    Args:
        receipts: Accounts of runs.
    """
    seconds = [r.normalised_cpu_seconds for r in receipts if r.profile == "cpu" and r.status == "ok"]
    return statistics.fmean(seconds) if seconds else None
