"""The how-to pages of this room run from top to bottom, and find what was planted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "book" / "how_to"


def run(page: str) -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("does_it_look", ["not used: ['image']", "image: another item's", "most frequent answer", "chance"]),
        (
            "audit_your_data",
            ["same subject | train.csv, line 1 | test.csv, line 2 | p1", "same caption | train.csv, line 2"],
        ),
    ],
)
def test_the_page_runs_and_finds_what_was_planted(page, said, capsys) -> None:
    run(page)
    shown = capsys.readouterr().out
    for words in said:
        assert words in shown
