"""The section of ``book/measured.md`` on the arena's server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Read = Callable[[str], dict[str, Any]]


def arena_load(read: Read) -> str:
    """Two hundred respondents at once, and kills."""
    result = read("arena_load")
    rows = result["rows"]
    calm, killed = rows["undisturbed"], rows["killed"]
    columns = [
        "kills",
        "acknowledged",
        "lost",
        "twice",
        "votes a second",
        "median, ms",
        "p95, ms",
        "p99, ms",
    ]
    text = (
        f"\n## Two hundred respondents at once\n\n`python benchmarks/arena_load.py`: {calm['respondents']} respondents "
        f"on one connection each, who think for {result['think']:g} s on average between votes; server and respondents "
        "share two processors, with priority over what else ran there, and speak over the loopback interface. The time "
        "is from sending a vote to the acknowledgement that it is on disk. *Lost* are votes that were acknowledged and "
        "are not in the store, *twice* "
        f"those that are there twice, after {killed['kills']} kills by SIGKILL.\n\n"
    )
    text += f"| run | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}\n"
    for name, row in rows.items():
        text += f"| {name} | {' | '.join(f'{row[column]:,}' for column in columns)} |\n"
    return text + (
        f"\nTen thousand resamples of the two-way bootstrap of 30 × 30 votes, with shares of votes and of rounds won, "
        f"take {result['bootstrap, s']:.2f} s.\n"
    )
