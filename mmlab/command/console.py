"""Tables on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmlab.command.estimate import Plan
    from mmlab.method import Method

__all__ = ["show_plan", "show_scores", "show_table"]


def show_plan(method: Method, plan: Plan) -> None:
    """Print what a run would take.

    Args:
        method: The method.
        plan: Its plan.
    """
    total = sum(plan.memory.values())
    parts = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in plan.memory.items() if size)
    rows = [
        ["arguments", ", ".join(f"{name}={value}" for name, value in method.config.items())],
        ["parameters", f"{plan.parameters:,} ({plan.trainable:,} trained)"],
        ["training items", f"{plan.items:,}"],
        ["steps", f"{plan.steps:,} ({plan.epochs:.1f} times through the items)"],
        ["memory, estimated", f"{total / 2**20:.1f} MiB ({parts}), and the libraries and the data themselves"],
    ]
    show_table([type(method).__name__, ""], rows)


def show_scores(rows: dict[str, dict[str, float]]) -> None:
    """Print measures, one column per prediction.

    Args:
        rows: Measures by name of the prediction.
    """
    measures = list(next(iter(rows.values())))
    show_table(["test items", *rows], [[m, *(f"{row[m]:.4g}" for row in rows.values())] for m in measures])


def show_table(columns: list[str], rows: list[list[str]], width: int | None = None) -> None:
    """Print a table; wide where no screen limits it.

    Args:
        columns: Headings.
        rows: Cells, as many in each row as there are headings.
        width: Letters of the widest line; default the screen, or no bound where there is none.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    Console(width=width or (None if sys.stdout.isatty() else 240), markup=False, highlight=False).print(table)
