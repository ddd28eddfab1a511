"""Run the stub and the solution of an exercise as they stand in the source of the chapter."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext

from mmlab.exercises.verdict import Verdict

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cell:
    """A cell of a chapter."""

    kind: str
    tags: tuple[str, ...]
    source: str


def cells(stem: str, root: Path = ROOT) -> list[Cell]:
    """The cells of ``notebooks/<stem>.py``."""
    text = (root / "notebooks" / f"{stem}.py").read_text(encoding="utf-8")
    parsed = jupytext.reads(text, fmt="py:percent").cells
    return [Cell(cell.cell_type, tuple(cell.metadata.get("tags", ())), cell.source) for cell in parsed]


class Exercises:
    """The exercises of one chapter, and what its parameters cell and its first code cell, the imports, define."""

    def __init__(self, stem: str) -> None:
        code = [cell for cell in cells(stem) if cell.kind == "code"]
        self._tagged = {tag: cell.source for cell in code for tag in cell.tags}
        self._setup: dict[str, Any] = {"__name__": "chapter"}
        for cell in code[:2]:
            exec(compile(cell.source, f"{stem}, imports", "exec"), self._setup)

    def stub(self, name: str) -> Verdict:
        """What the check says of the empty cell."""
        return self._run(self._tagged[f"stub:{name}"])

    def solution(self, name: str, old: str = "", new: str = "") -> Verdict:
        """What the check says of the solution, or of the solution with ``old`` made ``new``.

        As in the chapter, the solution runs after the stub, which imports the check.
        """
        source = self._tagged[f"solution:{name}"]
        assert old in source, f"The solution {name} does not contain {old!r}."
        return self._run(self._tagged[f"stub:{name}"], source.replace(old, new) if old else source)

    def _run(self, *sources: str) -> Verdict:
        """Run cells one after the other. Each ends in the call of the check; the last one's value is returned."""
        namespace = dict(self._setup)
        for source in sources:
            *before, last = ast.parse(source).body
            assert isinstance(last, ast.Expr), f"The cell does not end in its check: {ast.unparse(last)}"
            exec(compile(ast.Module(before, []), "cell", "exec"), namespace)
            verdict = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
        assert isinstance(verdict, Verdict)
        return verdict


class ExerciseTests:
    """The tests of one chapter's checks; its test module makes a class of it, and lists their ``MISTAKES``.

    ``MISTAKES`` gives of each exercise: what is changed in the solution, into what, and what the learner is told.
    """

    def test_the_solution_is_right(self, exercises: Exercises, name: str) -> None:
        verdict = exercises.solution(name)
        assert verdict.ok, verdict.text
        assert verdict.text.startswith("**Right.**")

    def test_the_stub_is_met_kindly(self, exercises: Exercises, name: str) -> None:
        verdict = exercises.stub(name)
        assert not verdict.ok
        assert verdict.text.startswith("**Nothing is filled in yet.**")

    def test_a_mistake_is_named(self, exercises: Exercises, name: str, old: str, new: str, told: str) -> None:
        verdict = exercises.solution(name, old, new)
        assert not verdict.ok
        assert told in verdict.text, verdict.text
        assert verdict.text.startswith("**Not yet.**")
