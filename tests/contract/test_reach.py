"""A chapter depends on exactly the methods that it imports and on those that they subclass, in this very tree.

What it should reach is derived here from the import lines and class headings alone, without the code that is tested.
"""

import ast
import json
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from mmlab.publish.run import key
from mmlab.reach import reach
from mmlab.registry import list_methods

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
SHARED = ("exercises", "bases")  # rooms above the methods, whose modules a chapter may import


@cache
def cells(stem: str) -> list[str]:
    """Sources of the code cells of a chapter."""
    notebook = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def imported(tree: ast.AST) -> dict[str, str]:
    """Names that a module imports from mmlab, and where each comes from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmlab"):
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name: name.name for name in node.names if name.name.startswith("mmlab")}
    return found


def methods_in(targets: Iterable[str]) -> set[str]:
    """Stems of the methods among dotted names."""
    return {target.split(".")[2] for target in targets if target.startswith("mmlab.methods.")}


@cache
def superclasses(stem: str) -> set[str]:
    """Stems of the methods whose classes those of a method have as bases."""
    tree = ast.parse((ROOT / "mmlab" / "methods" / f"{stem}.py").read_text(encoding="utf-8"))
    bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
    return methods_in(target for name, target in imported(tree).items() if name in bases)


@cache
def expected(stem: str) -> set[str]:
    """Stems of the methods that a chapter imports, alone or through exercises and bases, and what those subclass."""
    targets = set(imported(ast.parse((ROOT / "notebooks" / f"{stem}.py").read_text(encoding="utf-8"))).values())
    open_ = list(targets)
    while open_:
        parts = open_.pop().split(".")
        if len(parts) > 2 and parts[1] in SHARED:
            for path in (ROOT / "mmlab" / parts[1]).glob(f"{parts[2]}.py"):
                new = set(imported(ast.parse(path.read_text(encoding="utf-8"))).values()) - targets
                targets |= new
                open_ += new
    found, queue = set(), list(methods_in(targets))
    while queue:
        method = queue.pop()
        if method not in found:
            found.add(method)
            queue += superclasses(method)
    return found


WITHOUT_METHODS = ("arena", "broken_scoreboard")
"""Chapters that tell of votes or of measures alone."""


@pytest.mark.parametrize("stem", CHAPTERS)
def test_a_chapter_reaches_the_methods_that_it_imports_and_no_other(stem: str) -> None:
    assert methods_in(reach(cells(stem), ROOT / "mmlab").modules) == expected(stem)
    assert bool(expected(stem)) == (stem not in WITHOUT_METHODS)


def test_the_rule_tells_chapters_apart() -> None:
    assert expected("tangent_bridge") == {"tangent_bridge", "bridge_matching"}
    assert expected("c2c") == {"c2c"}


def test_an_edit_of_a_method_changes_the_keys_of_its_chapters_and_of_no_other(tmp_path: Path) -> None:
    package = tmp_path / "mmlab"
    shutil.copytree(ROOT / "mmlab", package, ignore=shutil.ignore_patterns("__pycache__"))

    def keys() -> dict[str, str]:
        parts = {
            stem: key.inputs(cells(stem), root=ROOT, profile="cpu", parameters={}, package=package) for stem in CHAPTERS
        }
        return {stem: key.digest(part) for stem, part in parts.items()}

    before = keys()
    for edited in groups(sorted(list_methods())):
        for method in edited:
            path = package / "methods" / f"{method}.py"
            path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
        after = keys()
        changed = {stem for stem in CHAPTERS if after[stem] != before[stem]}
        assert changed == {stem for stem in CHAPTERS if edited & expected(stem)}, edited
        before = after


def groups(methods: list[str]) -> list[set[str]]:
    """Methods to edit together: any two are told apart by some group, so a few edits say what one each would say.

    For the number of each method, written in twos: those with a one at each place, and those with a zero there.
    """
    places = range(max(1, (len(methods) - 1).bit_length()))
    halves = [{m for n, m in enumerate(methods) if (n >> place & 1) == bit} for place in places for bit in (0, 1)]
    return [half for half in halves if half]


def test_any_two_methods_are_told_apart_by_some_group() -> None:
    methods = [str(number) for number in range(75)]
    found = groups(methods)
    assert len(found) == 14
    for one in methods:
        assert set.intersection(*(group for group in found if one in group)) == {one}
