"""Everything from sources to site in one call."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmlab.paths import expand
from mmlab.publish import project
from mmlab.publish.chapter import listed
from mmlab.publish.committed import StaleNotebookError, sync
from mmlab.publish.run.receipt import MEAN_SECONDS, Receipt, mean_seconds
from mmlab.publish.run.runner import RunError, execute_all
from mmlab.publish.site.build import SiteError, build, refuse_foreign_folders

__all__ = ["book"]


def book(
    profile: str = "cpu",
    workers: int = 2,
    out: Path = Path("out"),
    force: bool = False,
    *,
    root: Path | None = None,
    console: Console | None = None,
) -> int:
    """Check the notebooks against their sources, run what changed, build the site, and say what it took.

    Args:
        profile: ``"cpu"`` or ``"gpu"``.
        workers: How many chapters run at a time.
        out: Folder for results; relative to the folder of the book.
        force: Run every chapter, changed or not.
        root: Folder of the book.
        console: Where to print.

    Returns:
        0, or 1 if a notebook is stale, a chapter failed, or the site is not as it should be.
    """
    root = root or project.find_root()
    console = console or Console()
    began = time.monotonic()
    try:
        out = expand(out, "out")
        refuse_foreign_folders(root / out)
        sync(check=True, root=root)
        chapters = [chapter.stem for chapter in listed(root)]
        with console.status(f"Running {len(chapters)} chapters ({profile} profile) ..."):
            receipts = _run(chapters, profile, workers, out, force, root, console)
        with console.status("Rendering the site ..."):
            index = build(profile, out, root=root)
    except RunError as error:
        console.print(_table(error.receipts))
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except (SiteError, StaleNotebookError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print(_table(receipts))
    if (mean := mean_seconds(receipts) or 0.0) > MEAN_SECONDS:
        told = f"A chapter takes {mean:.1f} normalised processor seconds on average; the book allows {MEAN_SECONDS:g}."
        console.print(f"{told} Bring the slowest down.", style="yellow", soft_wrap=True, highlight=False)
    console.print(f"The site is at {index} ({time.monotonic() - began:.0f} s in all).", soft_wrap=True, highlight=False)
    return 0


def _run(
    chapters: list[str], profile: str, workers: int, out: Path, force: bool, root: Path, console: Console
) -> list[Receipt]:
    def report(receipt: Receipt) -> None:
        if not receipt.cached:
            text = f"{receipt.stem}: {receipt.status} after {receipt.seconds:.1f} s ({receipt.reason})"
            console.print(text, markup=False, highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    return execute_all(
        chapters, profile=profile, workers=workers, out=out, force=force, root=root, report=report, say=say
    )


def _table(receipts: list[Receipt]) -> Table:
    table = Table("Chapter", "Status", title="Chapters")
    for name in ("Seconds", "CPU seconds", "Normalised", "Peak MB", "Budget met"):
        table.add_column(name, justify="right")
    for receipt in receipts:
        status = "unchanged" if receipt.cached else "ran" if receipt.status == "ok" else receipt.status
        met = "yes" if receipt.within_budget else "NO"
        seconds = (receipt.seconds, receipt.cpu_seconds, receipt.normalised_cpu_seconds)
        values = [*(f"{each:.1f}" for each in seconds), f"{receipt.peak_memory_mb:.0f}"]
        table.add_row(receipt.stem, status, *values, met if receipt.status == "ok" else "-")
    return table
