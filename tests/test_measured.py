"""The page of measurements says what the benchmarks' results say."""

import json
import re
import runpy
from pathlib import Path

import pytest

from mmlab.publish.site.measured import age, code_hash, with_ages

ROOT = Path(__file__).parents[1]


def test_page_is_made_from_the_results() -> None:
    report = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))
    assert report["page"]() == (ROOT / "book" / "measured.md").read_text(encoding="utf-8"), (
        "run python benchmarks/report.py"
    )


def test_results_are_written_with_their_provenance() -> None:
    elsewhere = {"colab_trial", "fuzz_loaders"}  # they need no package, or measure no code of it
    for path in (ROOT / "benchmarks").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.stem in elsewhere or "results" not in text or path.stem.startswith(("report", "provenance")):
            continue
        assert "write_result(" in text, path.name
        assert "RESULT.write_text" not in text, path.name


@pytest.fixture
def book(tmp_path: Path) -> Path:
    for name, text in {
        "mmlab/__init__.py": "",
        "mmlab/measured.py": "x = 1\n",
        "mmlab/other.py": "y = 1\n",
        "benchmarks/toy.py": "from __future__ import annotations\n\nfrom mmlab.measured import x\n",
        "benchmarks/results/toy.json": "{}",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_result_older_than_the_code_that_it_measures_is_stale(book: Path) -> None:
    assert age("toy", book).startswith("**Stale**")
    facts = {"provenance": {"commit": "abc123", "date": "2026-11-28", "code": code_hash("toy", book)}}
    (book / "benchmarks" / "results" / "toy.json").write_text(json.dumps(facts), encoding="utf-8")
    fresh = "Measured on 28 November 2026, at commit `abc123`; the code that it measures has not changed since."
    assert age("toy", book) == fresh
    (book / "mmlab" / "other.py").write_text("y = 2\n", encoding="utf-8")
    assert age("toy", book) == fresh
    commented = '"""Said."""\n\n# what it is\nx = (\n    1\n)\n"""And said."""\n'
    (book / "mmlab" / "measured.py").write_text(commented, encoding="utf-8")
    assert age("toy", book) == fresh
    (book / "mmlab" / "measured.py").write_text("x = 2\n", encoding="utf-8")
    assert age("toy", book).startswith("**Stale**: measured on 28 November 2026")
    assert with_ages("A\n\n<!-- measured: toy -->\n", book) == f"A\n\n{age('toy', book)}\n"


def test_the_page_says_of_each_result_how_old_it_is() -> None:
    page = (ROOT / "book" / "measured.md").read_text(encoding="utf-8")
    marks = re.findall(r"<!-- measured: (\w+) -->", page)
    report = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))
    assert sorted(marks) == sorted(filter(report["measured"], report["SECTIONS"]))
    assert "<!-- measured" not in with_ages(page, ROOT)
