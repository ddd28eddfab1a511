"""A method may subclass another, but takes no function, constant or type from it."""

import ast
from pathlib import Path

import pytest

METHODS = sorted((Path(__file__).parents[2] / "mmlab" / "methods").glob("*.py"))


def borrowed(text: str) -> list[str]:
    """Names that a module imports from a method and does not subclass."""
    tree = ast.parse(text)
    bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
    names = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmlab.methods")
        for alias in node.names
    ]
    names += [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.startswith("mmlab.methods")
    ]
    return [name for name in names if name not in bases]


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_methods_only_subclass_each_other(path: Path) -> None:
    assert borrowed(path.read_text(encoding="utf-8")) == []


def test_the_rule_finds_what_is_borrowed() -> None:
    assert borrowed("from mmlab.methods.one import One, formula\nclass Two(One): pass") == ["formula"]
    assert borrowed("import mmlab.methods.one as one\none.formula()") == ["mmlab.methods.one"]
