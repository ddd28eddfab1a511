"""What a chapter leaves behind when it has run: when, on what, how long, how much memory, and what it measured."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmlab.store.folders import write_whole

__all__ = ["Receipt", "Status"]

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
        versions: Of Python, mmlab, torch and NumPy.
        budget: What the card allows: ``seconds`` and ``memory_mb``.
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
    metrics: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    reason: str = ""
    error: str = ""
    cached: bool = field(default=False, compare=False)

    @property
    def within_budget(self) -> bool:
        """Whether both time and memory stayed within what the card allows."""
        return self.seconds <= self.budget["seconds"] and self.peak_memory_mb <= self.budget["memory_mb"]

    def write(self, path: Path) -> None:
        """Write the receipt as JSON, whole or not at all."""
        content = {key: value for key, value in dataclasses.asdict(self).items() if key != "cached"}
        content["within_budget"] = self.within_budget
        write_whole(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Receipt | None:
        """The receipt in a file, or None if there is none or it cannot be understood: then the chapter runs again."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content.pop("within_budget", None)
            return cls(**content)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None
