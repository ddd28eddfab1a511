"""``mmlab task``: the miniature tasks, their files and their pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmlab.paths import expand

if TYPE_CHECKING:
    from mmlab.data.tasks.registry import Task

__all__ = ["refresh_tasks", "task_app", "task_page"]

task_app = typer.Typer(no_args_is_help=True, help="Miniature tasks whose best possible score is known.")

_MARK = "<!-- Written by `mmlab book sync`: do not edit. -->"
_FOLDER = Path("book/tasks")
_RESULT = Path("benchmarks/results/tasks.json")


@task_app.command("list")
def list_tasks() -> None:
    """List the tasks, with the best possible score of each."""
    from mmlab.command.console import show_table
    from mmlab.data.tasks.registry import TASKS

    rows = [
        [one.name, one.version, f"{one.metric} {one.ceilings()['all']:.3f}", ", ".join(one.modalities), one.title]
        for one in TASKS.values()
    ]
    show_table(["task", "version", "best possible", "seen", "title"], rows)


@task_app.command("export")
def export(
    name: Annotated[str, typer.Argument(help="Name of the task, see `mmlab task list`.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.", parser=lambda text: expand(text, "--out"))],
    kind: Annotated[str, typer.Option("--format", help="npz, parquet or huggingface.")] = "npz",
) -> None:
    """Write the items of a task as files; another folder than one that mmlab made is never touched."""
    from mmlab.data.tasks.export import export_task
    from mmlab.data.tasks.registry import task

    chosen = task(name)
    files = export_task(chosen, out, kind)  # type: ignore[arg-type]  # it says itself what it does not know
    typer.echo(f"{chosen.name} {chosen.version}: {len(files)} files in {out}")


def task_page(task: Task, measured: dict[str, Any]) -> str:
    """The page of a task: what is drawn, the ceiling and why, the scores of baselines, and how to get it.

    Args:
        task: Which.
        measured: Scores of the rivals by name, each with ``score`` and, for accuracies, ``error``.
    """
    best = "\n".join(f"| {seen} | {score:.4f} |" for seen, score in task.ceilings().items())
    sign = "↑" if task.metric == "accuracy" else "↓"
    rivals = "\n".join(
        f"| {name} | {row['score']:.4f}" + (f" ± {row['error']:.4f}" if "error" in row else "") + " |"
        for name, row in measured.items()
    )
    return (
        f"# {task.name}\n\n{_MARK}\n\n{task.title}.\n\n"
        f"## What is drawn\n\n{task.drawn}\n\nA method may see {_listed(task.modalities)} and answers `{task.target}`. "
        f"The score is the {task.metric} on the test split.\n\n"
        f"## The best possible score, and why\n\n{task.why}\n\n"
        f"| seen | best possible {task.metric} |\n| --- | --- |\n{best}\n\n"
        "## Dull rivals\n\n`python benchmarks/tasks.py` fits them on the training split, with settings chosen on the "
        "validation split, and measures them once on the test split; ± is the standard error over test items.\n\n"
        f"| rival | {task.metric} {sign} |\n| --- | --- |\n{rivals}\n\n<!-- measured: tasks -->\n\n"
        f"## Get it\n\n```text\nmmlab task export {task.name} --out {task.name} --format huggingface\n```\n\n"
        f"Version {task.version}, sha256 over all columns `{task.sha256}`. Made by mmlab; licence {_licence()}.\n"
    )


def refresh_tasks(root: Path) -> list[Path]:
    """Write a page for each task from what the benchmark measured, and remove those of tasks that are gone.

    Args:
        root: Folder of the book.

    Returns:
        The files that changed.
    """
    from mmlab.data.tasks.registry import TASKS
    from mmlab.store.folders import replace_pages

    folder = root / _FOLDER
    if not (root / _RESULT).exists() or not folder.is_dir():
        return []
    measured = json.loads((root / _RESULT).read_text(encoding="utf-8"))["tasks"]
    wanted = {folder / f"{name}.md": task_page(one, measured.get(name, {})) for name, one in TASKS.items()}
    return replace_pages(wanted, folder, _MARK)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _licence() -> str:
    from mmlab.data.tasks.registry import LICENCE

    return LICENCE
