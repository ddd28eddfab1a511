"""A chapter begins with what one will be able to do, what one needs and how long it takes, and ends in five lines."""

import re
from pathlib import Path

import pytest
from contract.prose_rules import markdown

ROOT = Path(__file__).parents[2]
STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
OPENING = {
    "what one will be able to do": r"\b[Aa]fter this chapter\b[^.]*\byou (?:can|know)\b",
    "what one needs": r"\bYou need\b",
    "how long it takes": r"\bReading takes\b[^.]*\b(?:hours?|minutes)\b",
}
LINES = 5


def problems(source: str) -> list[str]:
    """What the first cell and the summary of a chapter leave out.

    Args:
        source: The chapter in percent format.
    """
    prose = [piece.text for piece in markdown(source)]
    found = [what for what, pattern in OPENING.items() if not re.search(pattern, prose[0])]
    summary = re.search(r"^## In five lines\n(.*?)(?=^## |\Z)", "\n\n".join(prose), re.DOTALL | re.MULTILINE)
    if summary is None:
        return [*found, "a summary"]
    whole = len(re.findall(r"^(?:-|\d\.) ", summary[1], re.MULTILINE)) == LINES
    return found if whole else [*found, "a summary of five lines"]


@pytest.mark.parametrize("stem", STEMS)
def test_a_chapter_opens_and_closes_as_all_do(stem: str) -> None:
    assert problems((ROOT / "notebooks" / f"{stem}.py").read_text(encoding="utf-8")) == []


def test_the_rule_finds_what_is_left_out() -> None:
    cell = "# %% [markdown]\n"
    opening = f"{cell}# # A\n#\n# After this chapter you can walk. You need legs. Reading takes half an hour.\n"
    ending = f"{cell}# ## In five lines\n#\n" + "# - One.\n" * LINES
    assert problems(opening + ending) == []
    assert problems(opening.replace("Reading takes", "It took") + ending) == ["how long it takes"]
    assert problems(opening.replace("You need", "No") + ending) == ["what one needs"]
    assert problems(opening + ending + "# - Two.\n") == ["a summary of five lines"]
    assert problems(f"{cell}# # A\n") == [*OPENING, "a summary"]
