"""Chapters that let rows compete say what each row was allowed, and hand a known ceiling to the table.

The publisher can refuse an unequal budget, and a score above its ceiling, only where it is told of them.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
CEILINGS = ("ceiling", "best possible")


def problems(source: str) -> list[str]:
    """What a chapter leaves unsaid about its comparisons.

    Args:
        source: The chapter in percent format.
    """
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    tables = [call for call in calls if _name(call) in ("table", "table_over_seeds")]
    given = [({word.arg for word in call.keywords}, call) for call in tables]
    found = []
    if any("best" in words for words, _ in given):
        if not any("budgets" in words for words, _ in given):
            found.append("no table has budgets=: say what each row was allowed")
        records = [{word.arg for word in call.keywords} for call in calls if _name(call) == "record"]
        if not any("budget" in words for words in records):
            found.append("no record(budget=...): the receipt does not say what was allowed")
    for words, call in given:
        for word in call.keywords:
            text = ast.unparse(word.value).lower()
            if word.arg == "reference" and any(c in text for c in CEILINGS) and "ceiling" not in words:
                found.append(f"line {call.lineno}: a row is called a ceiling, and the table has no ceiling=")
    return found


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


@pytest.mark.parametrize("stem", STEMS)
def test_a_chapter_declares_budgets_and_ceilings(stem: str) -> None:
    assert problems((ROOT / "notebooks" / f"{stem}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("table(x, 'c')", 0),  # nobody competes
        ("table(x, 'c', best={'a': 'higher'})", 2),
        ("table_over_seeds(x, 'c', best={'a': 'higher'}, budgets=b)", 1),
        ("table(x, 'c', best={'a': 'higher'}, budgets=b)\nrecord(budget=b.plain())", 0),
        ("table(x, 'c', reference=['the best possible'])", 1),
        ("table(x, 'c', reference=['the best possible'], ceiling='the best possible')", 0),
        ("table(x, 'c', reference=['mean shift'])", 0),
    ],
)
def test_the_rule_finds_what_is_unsaid(source: str, count: int) -> None:
    assert len(problems(source)) == count
