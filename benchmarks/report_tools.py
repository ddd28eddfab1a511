"""The sections of ``book/measured.md`` on the command and on the runner of the chapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Read = Callable[[str], dict[str, Any]]


def starting(read: Read) -> str:
    """How long imports and the command take to start."""
    result = read("start_up")
    return (
        "\n## Starting up\n\n`python benchmarks/start_up.py`: each in a process of its own, Python included; the "
        f"median of {result['rounds']} rounds, with {result['methods']} methods in the folder.\n\n"
        + _table(result["rows"])
    )


def running(read: Read) -> str:
    """The runner beside papermill."""
    result = read("runner")
    return (
        "\n## Running a chapter\n\n`python benchmarks/runner.py`: chapters that do next to nothing, run by "
        "`mmlab book execute` and by papermill in turn, with kernels and all; the median of "
        f"{result['rounds']} rounds. A further chapter of the same call costs {result['further chapter']:.1f} s of "
        f"the processor, {result['more than papermill']:+.1f} s beside papermill: for the look at what changed, the "
        "guard of the network, the measure of memory, and the receipt. The first pays "
        "for measuring the machine as well.\n\n" + _table(result["rows"])
    )


def _table(rows: dict[str, dict[str, float]]) -> str:
    text = "| what | processor | clock |\n| --- | --- | --- |\n"
    for name, row in rows.items():
        shown = name if name.startswith("Python") else f"`{name}`" if " " in name and "," not in name else name
        text += f"| {shown} | {row['processor']:.2f} s | {row['clock']:.2f} s |\n"
    return text
