"""The rule of exercises, as a function that returns what is wrong: so that tests can also show that it finds it."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exercises.harness import Cell, cells

FEWEST, MOST = 2, 4
QUESTIONS, MISTAKES = 2, 2
KINDS = ("compute", "code", "derive", "think")
CHECKED_KINDS = ("compute", "code", "derive")
SHARED = {"__init__", "verdict"}  # modules of mmlab/exercises that belong to no chapter


@dataclass
class Exercise:
    """What stands in a chapter under one label; the cells are those after its text and those of its solution."""

    title: str
    label: str
    kind: str
    task: list[Cell] = field(default_factory=list)
    solution: list[Cell] | None = None
    folded: bool = False


def exercises(root: Path) -> list[str]:
    """Each chapter has a few exercises of named kinds, with checks, solutions that ran, and tests of the checks."""
    chapters = sorted(path.stem for path in (root / "notebooks").glob("*.py"))
    found = {stem: _exercises(root, stem) for stem in chapters}
    wrong = []
    for stem in chapters:
        wrong += [f"notebooks/{stem}.py: {what}" for what in _wrong_in_chapter(root, stem, found[stem])]
        wrong += _wrong_with_checks(root, stem, found[stem])
    for what in ("title", "label"):
        counts = Counter(getattr(exercise, what) for of_one in found.values() for exercise in of_one)
        wrong += [f"two exercises have the {what} {name!r}" for name, count in counts.items() if count > 1]
    modules = {path.stem for path in (root / "mmlab" / "exercises").glob("*.py")} - SHARED
    return wrong + [f"mmlab/exercises/{stem}.py belongs to no chapter" for stem in sorted(modules - set(chapters))]


def _wrong_in_chapter(root: Path, stem: str, found: list[Exercise]) -> Iterator[str]:
    if not FEWEST <= len(found) <= MOST:
        yield f"it has {len(found)} exercises, not {FEWEST} to {MOST}"
    if found and not any(exercise.kind in CHECKED_KINDS for exercise in found):
        yield "all its exercises are to think: let the reader compute or write something"
    prose = "\n".join(cell.source for cell in cells(stem, root) if cell.kind == "markdown")
    if (questions := len(re.findall(r"^`{3,}\{dropdown\} \S", prose, re.MULTILINE))) < QUESTIONS:
        yield f"it has {questions} questions with a folded answer, not at least {QUESTIONS}"
    for exercise in found:
        name = f"the exercise {exercise.title!r}"
        if exercise.kind not in KINDS:
            yield f"{name} does not end in its kind, one of ({'), ('.join(KINDS)})"
        if exercise.solution is None:
            yield f"{name} has no solution-start and solution-end with its label"
            continue
        if not exercise.folded:
            yield f"the solution of {exercise.label} is not folded: give it `:class: dropdown`"
        if not exercise.solution:
            yield f"the solution of {exercise.label} has no code that ran"
        if exercise.kind in CHECKED_KINDS:
            stubs, solved = (
                _tagged(part, kind) for part, kind in ((exercise.task, "stub"), (exercise.solution, "solution"))
            )
            if len(stubs) != 1 or set(stubs) != set(solved):
                yield f"{name} has no cell tagged stub:<name> with a cell tagged solution:<name> in its solution"


def _wrong_with_checks(root: Path, stem: str, found: list[Exercise]) -> Iterator[str]:
    """What the chapter uses, what its module offers and what its test tries are the same checks."""
    tagged = [
        (name, source)
        for exercise in found
        for part, kind in ((exercise.task, "stub"), (exercise.solution or [], "solution"))
        for name, source in _tagged(part, kind).items()
    ]
    for name, source in tagged:
        if not source.splitlines() or not source.splitlines()[-1].startswith(f"check_{name}("):
            yield f"notebooks/{stem}.py: a cell of the exercise {name} does not end in check_{name}(...)"
    used = {name for name, _ in tagged}
    offered = {name.removeprefix("check_") for name in _public(root / "mmlab" / "exercises" / f"{stem}.py")}
    yield from (f"mmlab/exercises/{stem}.py has no check_{name}" for name in sorted(used - offered))
    yield from (f"mmlab/exercises/{stem}.py: no exercise uses check_{name}" for name in sorted(offered - used))
    tried = _mistakes(root / "tests" / "exercises" / f"test_{stem}.py")
    for name in sorted(used):
        if tried.get(name, 0) < MISTAKES:
            yield f"tests/exercises/test_{stem}.py tries {tried.get(name, 0)} mistakes in {name}, not {MISTAKES}"
    yield from (f"tests/exercises/test_{stem}.py: {name} is no exercise" for name in sorted(set(tried) - used))


def _exercises(root: Path, stem: str) -> list[Exercise]:
    """Read the chapter from top to bottom; code belongs to the exercise or solution that was opened last."""
    found: list[Exercise] = []
    part: list[Cell] | None = None
    is_open = False  # whether ``part`` is a solution
    for cell in cells(stem, root):
        if cell.kind == "code":
            if part is not None:
                part.append(cell)
            continue
        for match in re.finditer(
            r"^`{3,}\{(exercise|solution-start|solution-end)\}(.*)((?:\n:.*)*)", cell.source, re.M
        ):
            directive, words, options = match[1], match[2].strip(), match[3]
            if directive == "exercise":
                kind = re.search(r" \((\w+)\)$", words)
                label = re.search(r":label: *(\S+)", options)
                found.append(Exercise(words, label[1] if label else "", kind[1] if kind else ""))
                part = found[-1].task
            elif directive == "solution-start" and found and words == found[-1].label:
                part = []
                found[-1].folded = bool(re.search(r":class:.*\bdropdown\b", options))
                is_open = True
            elif directive == "solution-end" and is_open:
                found[-1].solution, part, is_open = part, None, False
    return found


def _tagged(part: list[Cell], kind: str) -> dict[str, str]:
    return {
        tag.removeprefix(f"{kind}:"): cell.source for cell in part for tag in cell.tags if tag.startswith(f"{kind}:")
    }


def _public(path: Path) -> list[str]:
    return list(_constant(path, "__all__") or ())


def _mistakes(path: Path) -> dict[str, int]:
    return {name: len(mistakes) for name, mistakes in (_constant(path, "MISTAKES") or {}).items()}


def _constant(path: Path, name: str) -> object:
    """The value of a literal that stands in a module under this name; None if there is none."""
    if not path.exists():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
    return None
