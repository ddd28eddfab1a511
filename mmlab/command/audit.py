"""``mmlab data audit``: what two sets share, with an exit code for continuous integration."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mmlab.command.messages import sentence
from mmlab.paths import from_command

__all__ = ["audit_data"]

_SHOWN = 5


def audit_data(
    first: Annotated[
        Path, typer.Argument(help="A folder or table, for example of the training items.", parser=from_command)
    ],
    second: Annotated[Path, typer.Argument(help="Another one, for example of the test items.", parser=from_command)],
    near: Annotated[int, typer.Option(help="Bits of 256 in which near-duplicates may differ.")] = 20,
    allow: Annotated[list[str] | None, typer.Option(help="A kind that is no fault here; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every pair as JSON.")] = False,
) -> None:
    """Look for items of one set in another: exit code 1 if there are any, 2 if a set cannot be read."""
    from mmlab.compare.audit import KINDS, audit, known_kind, read_items

    try:
        allowed = {known_kind(kind) for kind in allow or ()}
        one, other = read_items(first), read_items(second)
        leaks = [leak for leak in audit(one, other, near=near) if leak.kind not in allowed]
    except (ValueError, OSError) as problem:
        typer.echo(sentence(problem), err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps([leak.plain() for leak in leaks], indent=1, ensure_ascii=False))
    else:
        typer.echo(f"{len(one)} items in {first}, {len(other)} in {second}.")
        counts = Counter(leak.kind for leak in leaks)
        for kind in KINDS:
            typer.echo(f"{kind}: {'allowed' if kind in allowed else counts[kind]}")
            for leak in [leak for leak in leaks if leak.kind == kind][:_SHOWN]:
                typer.echo(f"  {leak.first}  =  {leak.second}  ({leak.detail})")
            if counts[kind] > _SHOWN:
                typer.echo(f"  and {counts[kind] - _SHOWN} more (--json prints all)")
    if leaks:
        raise typer.Exit(1)
