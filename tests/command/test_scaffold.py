"""A scaffolded method is complete: it is found, linted, learns, and has all its partners."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmlab.command.scaffold import TABLE_START, new_method, refresh_readme
from mmlab.registry import list_methods

ROOT = Path(__file__).parents[2]
COPIED = ["mmlab", "notebooks", "tests", "book", "README.md", "_toc.yml", "_config.yml", "pyproject.toml"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    leave = shutil.ignore_patterns("__pycache__", "_static", "*.npz")
    for name in COPIED:
        source = ROOT / name
        shutil.copytree(source, tmp_path / name, ignore=leave) if source.is_dir() else shutil.copy(source, tmp_path)
    list_methods.cache_clear()
    return tmp_path


def _run(root: Path, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_method_is_green_from_the_start(root: Path) -> None:
    made = {path.relative_to(root).as_posix() for path in new_method("early_fusion", root)}
    assert made == {
        "mmlab/methods/early_fusion.py",
        "tests/methods/test_early_fusion.py",
        "mmlab/exercises/early_fusion.py",
        "tests/exercises/test_early_fusion.py",
        "notebooks/early_fusion.py",
        "tests/notebooks/early_fusion.json",
        "notebooks/early_fusion.ipynb",
        "_toc.yml",
        "book/references.bib",
        "README.md",
        "book/house.md",
        "book/api/methods/early_fusion.md",
        "book/_static/house.svg",  # it is not among what was copied
    }
    assert "early_fusion" in list_methods(root / "mmlab" / "methods")
    written = sorted(path for path in made if path.endswith(".py"))
    _run(root, "-m", "ruff", "check", *written)
    _run(root, "-m", "ruff", "format", "--check", *written)
    tests = ["tests/methods/test_early_fusion.py", "tests/exercises", "tests/contract/test_methods.py"]
    _run(root, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", "early_fusion", *tests)
    stem = (
        "import sys; sys.path.insert(0, 'tests/contract'); import rules; from pathlib import Path; root = Path.cwd(); "
    )
    _run(root, "-c", stem + "wrong = rules.same_stem(root); assert not [w for w in wrong if 'early' in w], wrong")
    rule = "sys.path.insert(0, 'tests'); import exercise_rules; wrong = exercise_rules.exercises(root); "
    _run(root, "-c", stem + rule + "assert not [w for w in wrong if 'early' in w], wrong")
    _run(root, "-c", stem + "wrong = rules.equations(root); assert not [w for w in wrong if 'early' in w], wrong")


def test_the_new_chapter_runs(root: Path) -> None:
    new_method("early_fusion", root)
    both = """
import runpy, sys
runpy.run_path("notebooks/early_fusion.py", run_name="__main__")
sys.argv = ["smallest.py", "early_fusion", "cpu"]
runpy.run_path("tests/notebooks/smallest.py", run_name="__main__")
"""
    _run(root, "-W", "ignore", "-c", both)  # in one process: what they import is most of their time


@pytest.mark.parametrize(
    "stem", ["", "Late", "late-fusion", "1late", "late__fusion", "_late", "class", "a" * 41, "a/b"]
)
def test_a_bad_name_is_refused(stem: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no name for a method"):
        new_method(stem, tmp_path)


def test_a_taken_name_is_refused_and_nothing_changes(root: Path) -> None:
    (root / "tests" / "methods" / "test_early_fusion.py").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for stem in ("bridge_matching", "early_fusion"):
        with pytest.raises(ValueError, match="is taken"):
            new_method(stem, root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_readme_without_its_marks_is_refused(root: Path) -> None:
    readme = root / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace(TABLE_START, ""), encoding="utf-8")
    with pytest.raises(ValueError, match="has lost the lines"):
        refresh_readme(root)


def test_a_readme_in_step_is_left_alone(root: Path) -> None:
    refresh_readme(root)
    assert refresh_readme(root) == []


def test_a_new_method_may_join_a_chapter(root: Path) -> None:
    made = {path.relative_to(root).as_posix() for path in new_method("early_fusion", root, chapter="late_fusion")}
    assert {"mmlab/methods/early_fusion.py", "tests/methods/test_early_fusion.py", "README.md"} <= made
    assert not any("early_fusion" in path for path in made if path.startswith(("notebooks/", "mmlab/exercises/")))
    assert list_methods(root / "mmlab" / "methods")["early_fusion"].chapter == "late_fusion"
    assert "notebooks/early_fusion" not in (root / "_toc.yml").read_text(encoding="utf-8")
    written = sorted(path for path in made if path.endswith(".py"))
    _run(root, "-m", "ruff", "format", "--check", *written)
    rule = "import sys; sys.path.insert(0, 'tests/contract'); import rules; from pathlib import Path; "
    _run(root, "-c", rule + "wrong = rules.same_stem(Path.cwd()); assert not [w for w in wrong if 'early' in w], wrong")


def test_a_chapter_to_join_must_be_there(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'late_fusion'"):
        new_method("early_fusion", root, chapter="late_fusoin")
    assert not (root / "mmlab" / "methods" / "early_fusion.py").exists()
