"""The page of measurements says what the benchmarks' results say."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_page_is_made_from_the_results() -> None:
    report = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))
    assert report["page"]() == (ROOT / "book" / "measured.md").read_text(encoding="utf-8"), (
        "run python benchmarks/report.py"
    )
