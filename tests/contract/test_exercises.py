"""Chapters have exercises with checks, solutions that ran and tests of the checks; the rule finds what is missing."""

from pathlib import Path

import exercise_rules
import pytest

ROOT = Path(__file__).parents[2]


def test_every_chapter_keeps_the_rule() -> None:
    assert exercise_rules.exercises(ROOT) == []


CHAPTER = """# %% [markdown]
# # Toys
#
# ```{exercise} Twice (code)
# :label: toy-twice
#
# Write it.
# ```

# %% tags=["stub:twice"]
from mmlab.exercises.toy import check_twice

twice = ...

check_twice(twice)

# %% [markdown]
# ```{solution-start} toy-twice
# :class: dropdown
# ```

# %% tags=["solution:twice"]
def twice(x):
    return 2 * x


check_twice(twice)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Why? (think)
# :label: toy-why
#
# Why?
# ```
#
# ```{solution-start} toy-why
# :class: dropdown
# ```

# %%
1 + 1

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{dropdown} One?
# One.
# ```
#
# ```{dropdown} Two?
# Two.
# ```
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one chapter that keeps the rule."""
    for path, text in {
        "notebooks/toy.py": CHAPTER,
        "mmlab/exercises/__init__.py": "",
        "mmlab/exercises/toy.py": '__all__ = ["check_twice"]\n',
        "tests/exercises/test_toy.py": 'MISTAKES = {"twice": [("2", "3", "a"), ("2", "4", "b")]}\n',
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_good_chapter_passes(tree: Path) -> None:
    assert exercise_rules.exercises(tree) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        ("notebooks/toy.py", "# ```{exercise} Why? (think)\n# :label: toy-why", "# ```{note}",
         "notebooks/toy.py: it has 1 exercises, not 2 to 4"),
        ("notebooks/toy.py", "Twice (code)", "Twice",
         "notebooks/toy.py: the exercise 'Twice' does not end in its kind, "
         "one of (compute), (code), (derive), (think)"),
        ("notebooks/toy.py", "Twice (code)", "Twice (think)",
         "notebooks/toy.py: all its exercises are to think: let the reader compute or write something"),
        ("notebooks/toy.py", "Twice (code)", "Why? (think)", "two exercises have the title 'Why? (think)'"),
        ("notebooks/toy.py", "{solution-start} toy-why", "{solution-start} toy-who",
         "notebooks/toy.py: the exercise 'Why? (think)' has no solution-start and solution-end with its label"),
        ("notebooks/toy.py", "toy-why\n# :class: dropdown", "toy-why",
         "notebooks/toy.py: the solution of toy-why is not folded: give it `:class: dropdown`"),
        ("notebooks/toy.py", "# %%\n1 + 1\n", "", "notebooks/toy.py: the solution of toy-why has no code that ran"),
        ("notebooks/toy.py", "stub:twice", "hide-input",
         "notebooks/toy.py: the exercise 'Twice (code)' has no cell tagged stub:<name> with a cell tagged "
         "solution:<name> in its solution"),
        ("notebooks/toy.py", "twice = ...\n\ncheck_twice(twice)\n", "twice = ...\n",
         "notebooks/toy.py: a cell of the exercise twice does not end in check_twice(...)"),
        ("notebooks/toy.py", "{dropdown} Two?", "{note}",
         "notebooks/toy.py: it has 1 questions with a folded answer, not at least 2"),
        ("mmlab/exercises/toy.py", '"check_twice"', "", "mmlab/exercises/toy.py has no check_twice"),
        ("mmlab/exercises/toy.py", '"check_twice"', '"check_twice", "check_thrice"',
         "mmlab/exercises/toy.py: no exercise uses check_thrice"),
        ("tests/exercises/test_toy.py", ', ("2", "4", "b")', "",
         "tests/exercises/test_toy.py tries 1 mistakes in twice, not 2"),
        ("tests/exercises/test_toy.py", "MISTAKES", "OTHERS",
         "tests/exercises/test_toy.py tries 0 mistakes in twice, not 2"),
        ("tests/exercises/test_toy.py", '"twice":', '"thrice":', "tests/exercises/test_toy.py: thrice is no exercise"),
    ],
)  # fmt: skip
def test_what_is_missing_is_found(tree: Path, path: str, old: str, new: str, found: str) -> None:
    text = (tree / path).read_text(encoding="utf-8")
    assert old in text
    (tree / path).write_text(text.replace(old, new), encoding="utf-8")
    assert found in exercise_rules.exercises(tree)


def test_checks_without_a_chapter_are_found(tree: Path) -> None:
    (tree / "mmlab" / "exercises" / "boy.py").write_text("", encoding="utf-8")
    assert exercise_rules.exercises(tree) == ["mmlab/exercises/boy.py belongs to no chapter"]
