"""What a chapter leaves behind when it has run: when, on what, how long, how much memory, and what it measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from mmlab.store.folders import write_whole

__all__ = ["MEAN_SECONDS", "Receipt", "Status", "mean_seconds"]

MEAN_SECONDS = 35.0
"""Normalised processor seconds that a chapter may take on average, over the whole book."""

_DERIVED = ("normalised_cpu_seconds", "within_budget")  # written for readers, worked out again when read
_SEAL = "seal"  # hash over all the rest of the file: a receipt that was edited is none

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
        """Write the receipt as :meth:`as_text`, whole or not at all."""
        write_whole(path, self.as_text())

    def as_text(self) -> str:
        """The receipt as JSON, with a hash over all that it says."""
        content = {key: value for key, value in dataclasses.asdict(self).items() if key != "cached"}
        content |= {name: getattr(self, name) for name in _DERIVED}
        content[_SEAL] = _seal(content)
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Receipt | None:
        """The receipt in a file, or None if there is none, it was edited, or it cannot be understood.

        Then the chapter runs again.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop(_SEAL, None) != _seal(content):
                return None
            return cls.checked({name: value for name, value in content.items() if name not in _DERIVED})
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    @classmethod
    def checked(cls, content: Any) -> Receipt:
        """A receipt from what came out of JSON.

        Args:
            content: The fields by name.

        Raises:
            ValueError: If it is no object, or a field is missing, unknown or not what it should be.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a receipt is an object, not {type(content).__name__}.")
        known = {entry.name: entry for entry in dataclasses.fields(cls)}
        required = {name for name, entry in known.items() if _required(entry)}
        if odd := sorted((content.keys() - known.keys()) | (required - content.keys())):
            raise ValueError(f"the receipt has fields missing or too many: {', '.join(map(str, odd))}.")
        for name, value in content.items():
            if not _CHECKS[str(known[name].type)](value):
                raise ValueError(f"the receipt says {name} is {str(value)[:80]!r}, which cannot be.")
        _check_values(content)
        return cls(**content)


def _required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _object(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value) and _finite(value)


def _finite(value: Any) -> bool:
    """Whether a value is one of JSON, with finite numbers throughout."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


# By the annotations of the fields, which are texts.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "float": _number,
    "bool": lambda value: isinstance(value, bool),
    "Status": lambda value: isinstance(value, str) and value in get_args(Status),
    "dict[str, Any]": _object,
    "dict[str, str]": lambda value: _object(value) and all(isinstance(entry, str) for entry in value.values()),
    "dict[str, float]": lambda value: _object(value) and all(map(_number, value.values())),
}


def _check_values(content: Mapping[str, Any]) -> None:
    """What types alone do not say."""
    if content["profile"] not in ("cpu", "gpu"):
        raise ValueError(f"the receipt is of the profile {content['profile'][:80]!r}: there are cpu and gpu.")
    if not {"seconds", "memory_mb"} <= content["budget"].keys():
        raise ValueError("the budget of the receipt has no seconds, or no memory_mb.")
    if not content.get("machine_factor", 1.0) > 0:
        raise ValueError("the machine factor of the receipt is zero.")
    if not isinstance(content["inputs"].get("parameters", {}), dict):
        raise ValueError("the parameters in the receipt are no object.")
    if datetime.fromisoformat(content["date"]).tzinfo is None:
        raise ValueError(f"the receipt has a date without a time zone: {content['date']!r}.")


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def mean_seconds(receipts: Iterable[Receipt]) -> float | None:
    """Normalised processor seconds of a chapter on average, of those that ran in the ``cpu`` profile; None if none did.

    Args:
        receipts: Accounts of runs.
    """
    seconds = [r.normalised_cpu_seconds for r in receipts if r.profile == "cpu" and r.status == "ok"]
    return statistics.fmean(seconds) if seconds else None
