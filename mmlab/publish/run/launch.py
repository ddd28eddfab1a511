"""Where a chapter runs: on this machine, or on one of its GPUs. :mod:`mmlab.publish.run.scheduler` adds a cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from mmlab.publish.run.job import Job
from mmlab.publish.run.machine import factor
from mmlab.publish.run.places import masked, of_run, shown
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.run.workplace import workplace

__all__ = ["Gpus", "Launch", "Outcome", "Task", "gpus", "here", "stopped"]

Outcome = tuple[Receipt, "dict[str, Any] | None"]
"""How the run ended, and the executed notebook if it ended well."""


@dataclass(frozen=True)
class Task:
    """A notebook that is to be run once. It can be written as JSON.

    Attributes:
        notebook: The notebook, without outputs.
        given: Values that replace those of its parameters cell.
        profile: ``"cpu"`` or ``"gpu"``.
        limit: Seconds for the whole run.
        cell_limit: Seconds for one cell.
    """

    notebook: dict[str, Any]
    given: dict[str, Any]
    profile: str
    limit: float
    cell_limit: float


class Launch(Protocol):
    """Runs a task somewhere, fills in its receipt, and ends the run early when ``stop`` is set."""

    def __call__(self, task: Task, receipt: Receipt, stop: threading.Event) -> Outcome:
        """Run the task. A run that fails is told by the receipt, not by an exception."""
        ...


def here(
    task: Task,
    receipt: Receipt,
    stop: threading.Event,
    environment: Mapping[str, str] | None = None,
    together: int = 1,
) -> Outcome:
    """Run a task on this machine.

    Args:
        task: What to run.
        receipt: What is known of the run beforehand.
        stop: When set, the run is ended.
        environment: Variables for the kernel, on top of those that every run gets.
        together: How many run side by side.
    """
    if task.profile == "cpu":
        receipt = dataclasses.replace(receipt, machine_factor=factor(together))
    with workplace() as folder:
        job = Job(folder, task.notebook, task.given, task.profile, task.limit, task.cell_limit, environment)
        receipt = job.run(receipt, stop)
        known = of_run(folder)
        receipt = dataclasses.replace(receipt, metrics=masked(receipt.metrics, known))
        if receipt.status != "ok":
            return receipt, None
        try:
            executed = json.loads(job.output.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as problem:
            told = f"the notebook that the worker left cannot be read ({type(problem).__name__})."
            return dataclasses.replace(receipt, status="incomplete", error=told), None
    return receipt, shown(executed, known)


def stopped(receipt: Receipt) -> Outcome:
    """The outcome of a run that was given up before it began or ended."""
    return dataclasses.replace(receipt, status="incomplete", error="the run was stopped from outside."), None


def gpus() -> dict[str, str]:
    """The GPUs that this process may use: what ``CUDA_VISIBLE_DEVICES`` calls each, and its name.

    Where that variable is set, its entries are the GPUs; otherwise they are those that the driver lists.
    """
    names: dict[str, str] = {}
    indices: list[str] = []
    with suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=uuid,name", "--format=csv,noheader"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
        names = {uuid.strip(): name.strip() for uuid, _, name in (line.partition(",") for line in lines) if name}
        indices = list(names)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not names:
        return names
    chosen: dict[str, str] = {}
    for entry in (part.strip() for part in visible.split(",")):
        if entry in ("", "-1"):  # CUDA reads no further either
            break
        uuid = indices[int(entry)] if entry.isdigit() and int(entry) < len(indices) else entry
        chosen[entry] = names.get(uuid, "GPU")
    return chosen


_NO_GPU = (
    "no GPU is here (nvidia-smi lists none that CUDA_VISIBLE_DEVICES allows), and the gpu profile needs one: "
    "use `--profile cpu`, or a machine or a cluster that has GPUs."
)


class Gpus:
    """Runs each chapter on one GPU, and no two on the same one at a time.

    Without any GPU no chapter runs, and its receipt says so: what ran elsewhere before can still be used.

    Args:
        found: The GPUs, as :func:`gpus` gives them.
    """

    def __init__(self, found: Mapping[str, str] | None = None) -> None:
        self._found = dict(gpus() if found is None else found)
        self._idle: queue.Queue[str] = queue.Queue()
        for entry in self._found:
            self._idle.put(entry)

    def __len__(self) -> int:
        return len(self._found)

    def __call__(self, task: Task, receipt: Receipt, stop: threading.Event) -> Outcome:
        """Wait for a GPU, and run the task with no other one in sight."""
        if not self._found:
            return dataclasses.replace(receipt, status="incomplete", error=_NO_GPU), None
        while not stop.is_set():
            with suppress(queue.Empty):
                entry = self._idle.get(timeout=0.2)
                break
        else:
            return stopped(receipt)
        try:
            receipt = dataclasses.replace(receipt, device=self._found[entry])
            return here(task, receipt, stop, {"CUDA_VISIBLE_DEVICES": entry})
        finally:
            self._idle.put(entry)
