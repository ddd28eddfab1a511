"""A chapter of the book: its files, and what follows from its source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmlab.card import Budget, Card
from mmlab.publish import project
from mmlab.publish.links import Links
from mmlab.publish.notebooks import render
from mmlab.publish.plain import plain
from mmlab.publish.run import key
from mmlab.publish.run.cache import Target
from mmlab.registry import chapter_of, list_methods
from mmlab.store.folders import write_whole
from mmlab.wording import nearest

__all__ = ["Chapter", "chapters", "listed"]


@dataclass(frozen=True)
class Chapter:
    """One chapter. What follows from its files is looked up whenever it is asked for.

    Attributes:
        root: Folder of the book.
        stem: Its name.
    """

    root: Path
    stem: str

    @property
    def source(self) -> Path:
        """The file it is written in.

        Raises:
            FileNotFoundError: If there is none; the message names the nearest one.
        """
        path = self.root / "notebooks" / f"{self.stem}.py"
        if not path.exists():
            known = [chapter.stem for chapter in chapters(self.root)]
            raise FileNotFoundError(f"There is no notebook {self.stem!r} in {path.parent}: {nearest(self.stem, known)}")
        return path

    @property
    def committed(self) -> Path:
        """The notebook beside its source, in plain Markdown, which Colab and Jupyter open."""
        return self.root / "notebooks" / f"{self.stem}.ipynb"

    @property
    def cards(self) -> Mapping[str, Card]:
        """Cards of the methods that it tells of, by their stems; that of the same name first. It may have none."""
        own = {stem: card for stem, card in list_methods().items() if chapter_of(stem, card) == self.stem}
        return dict(sorted(own.items(), key=lambda entry: entry[0] != self.stem))

    @property
    def budget(self) -> Budget:
        """What its cards allow it to cost, the most of each; the default budget where there is no card."""
        budgets = [card.budget for card in self.cards.values()] or [Budget()]
        minutes = [budget.gpu_minutes for budget in budgets if budget.gpu_minutes is not None]
        memory = [budget.gpu_memory_gb for budget in budgets if budget.gpu_memory_gb is not None]
        return Budget(
            cpu_seconds=max(budget.cpu_seconds for budget in budgets),
            cpu_memory_gb=max(budget.cpu_memory_gb for budget in budgets),
            gpu_minutes=max(minutes, default=None),
            gpu_memory_gb=max(memory, default=None),
        )

    @property
    def text(self) -> str:
        """The notebook that its source gives, in MyST: what is run, and what the site is made of.

        One that was made of the same is taken from ``out/rendered``, and nothing is made again.
        """
        url, _ = project.repository(self.root)
        source = self.source.read_text(encoding="utf-8-sig")
        made_of = (self.stem, source, url, project.tag(self.root), self.budget.gpu_minutes is not None)
        kept = self.root / "out" / "rendered" / f"{self.stem}.ipynb"
        known = kept.with_suffix(".key")
        if known.exists() and kept.exists():
            text = kept.read_text(encoding="utf-8", errors="replace")
            if known.read_text(encoding="utf-8", errors="replace") == _sha256(repr((made_of, text, _maker()))):
                return text
        text = render(*made_of)
        with suppress(OSError):  # a folder that cannot be written costs time and nothing else
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, text)
            write_whole(known, _sha256(repr((made_of, text, _maker()))))
        return text

    @property
    def plain(self) -> str:
        """The same notebook in plain Markdown, as it is committed: what Colab and Jupyter open."""
        return plain(self.text, Links(self.root, self.stem))

    @property
    def notebook(self) -> dict[str, Any]:
        """The notebook that its source gives."""
        return json.loads(self.text)

    def target(self, results: Path) -> Target:
        """Its files in the folder of a profile's results."""
        return Target(results, self.stem)

    def inputs(self, profile: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All that the outputs of a run depend on, as :func:`mmlab.publish.run.key.inputs` gives it."""
        return key.inputs(code_cells(self.notebook), root=self.root, profile=profile, parameters=parameters)


@cache
def _maker() -> tuple[str, ...]:
    """What makes notebooks of sources: this version of the code, and of the packages that it uses."""
    code = Path(__file__).with_name("notebooks.py").read_text(encoding="utf-8")
    return (code, version("jupytext"), version("nbformat"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def code_cells(notebook: Mapping[str, Any]) -> list[str]:
    """Sources of the code cells of a notebook."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def chapters(root: Path) -> list[Chapter]:
    """All chapters that have a source, in alphabetical order."""
    return [Chapter(root, path.stem) for path in sorted((root / "notebooks").glob("*.py"))]


def listed(root: Path) -> list[Chapter]:
    """The chapters in the table of contents, in its order."""
    entries = [entry for entry in project.toc_entries(root) if entry.startswith("notebooks/")]
    return [Chapter(root, entry.removeprefix("notebooks/")) for entry in entries]
