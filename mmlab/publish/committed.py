"""Keep the notebooks that are committed equal to what their sources give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmlab.publish import project
from mmlab.publish.chapter import Chapter, chapters
from mmlab.store.folders import write_whole

__all__ = ["StaleNotebookError", "sync"]


class StaleNotebookError(ValueError):
    """A committed notebook is not what its source gives."""


def sync(stems: Sequence[str] | None = None, check: bool = False, *, root: Path | None = None) -> list[Path]:
    """Write each notebook that is not what its source gives.

    Args:
        stems: Chapters; by default all of ``notebooks/*.py``, and then a notebook without a source is an error.
        check: Write nothing; raise if anything would be written.
        root: Folder of the book.

    Returns:
        The notebooks that were written.

    Raises:
        StaleNotebookError: With ``check``, if a notebook is missing or differs; always, if one has lost its source.
        FileNotFoundError: If a stem has no source.
        ValueError: If a source is not a notebook in percent format, or has two parameters cells.
    """
    root = root or project.find_root()
    written, stale = [], []
    for chapter in [Chapter(root, stem) for stem in stems] if stems else chapters(root):
        content, path = chapter.plain, chapter.committed
        if path.exists() and path.read_bytes() == content.encode("utf-8"):
            continue
        stale.append(path.name)
        if not check:
            write_whole(path, content)
            written.append(path)
    if check and stale:
        raise StaleNotebookError(
            f"notebooks/{stale[0]} is not what its source gives: run `mmlab book sync` and commit the result."
        )
    if stems is None and (orphans := _orphans(root)):
        raise StaleNotebookError(f"notebooks/{orphans[0]} has no source beside it: delete it, or restore its .py file.")
    return written


def _orphans(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "notebooks").glob("*.ipynb") if not p.with_suffix(".py").exists())
