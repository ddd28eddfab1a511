"""What the landing page makes of the run: the edition of the book, and a table of its chapters, part by part."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmlab.card import LEVELS, Card
from mmlab.publish import project
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site.escape import cell
from mmlab.publish.site.generated import listed_in, table, told

__all__ = ["edition", "level", "minutes", "tables", "tags"]

WORDS_A_MINUTE = 200
MINUTES_A_CELL = 0.5
"""For a code cell that is shown. Cells that the site folds are not counted."""
_FOLDED = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
_MOST_TAGS = 4


def edition(root: Path, receipts: Iterable[Receipt]) -> str:
    """Who wrote the book, which version it is, and the day of its latest run.

    Args:
        root: Folder of the book.
        receipts: Receipts of the chapters.
    """
    days = [datetime.fromisoformat(receipt.date) for receipt in receipts]
    ran = f" · run on {max(days):%-d %B %Y}" if days else ""
    author = str(project.config(root).get("author", "its authors"))
    return f"By {author[:1].lower() + author[1:]} · version {version('mmlab')}{ran}\n"


def minutes(notebook: Mapping[str, Any]) -> int:
    """How long a chapter takes to read, in minutes, rounded up to five: from its words and the code that it shows.

    Args:
        notebook: The chapter.
    """
    words = shown = 0
    for entry in notebook["cells"]:
        source = "".join(entry["source"])
        if entry["cell_type"] == "markdown":
            source = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", " formula ", source, flags=re.DOTALL)
            words += len(re.findall(r"[^\W\d_]{2,}", source))
        elif not _FOLDED & set(entry["metadata"].get("tags", [])):
            shown += 1
    return 5 * max(1, math.ceil((words / WORDS_A_MINUTE + MINUTES_A_CELL * shown) / 5))


def level(about: Sequence[Card]) -> str:
    """The level of a chapter: the highest of those of its methods.

    Args:
        about: Cards of the methods that it tells of, or else of those that it uses.
    """
    return max((card.level for card in about), key=LEVELS.index, default="intermediate")


def tags(about: Sequence[Card]) -> list[str]:
    """What a chapter is about, in a few words.

    Args:
        about: As for :func:`level`.
    """
    return list(dict.fromkeys(word for card in about for word in card.tags))[:_MOST_TAGS]


def tables(root: Path, notebooks: Mapping[str, Mapping[str, Any]], cards: Mapping[str, Card]) -> str:
    """All chapters, a table for each part: how long each takes, how difficult it is, and what it is about.

    Args:
        root: Folder of the book.
        notebooks: The chapters that ran, by stem.
        cards: Cards of all methods, by stem, and of chapters that tell of no method or of several, by theirs.
    """
    made = []
    for caption, stems in listed_in(root).items():
        here = [stem for stem in stems if stem in notebooks]
        rows = [_row(stem, notebooks[stem], cards) for stem in here]
        if rows:
            whole = sum(minutes(notebooks[stem]) for stem in here)
            text = f"{caption}: {len(rows)} chapter{'s' * (len(rows) > 1)}, {whole} minutes to read."
            made.append(f"### {caption}\n\n{table(['Chapter', 'Minutes', 'Difficulty', 'About'], rows, text)}")
    return "\n".join(made)


def _row(stem: str, notebook: Mapping[str, Any], cards: Mapping[str, Card]) -> list[str]:
    about = [cards[name] for name in told(stem, cards)]
    if not any(card.tags for card in about):  # a chapter of no method: told by those that it uses
        code = "\n".join("".join(e["source"]) for e in notebook["cells"] if e["cell_type"] == "code")
        about = [cards[name] for name in re.findall(r"mmlab\.methods\.(\w+)", code) if name in cards] or about
    name = cards[stem].name if stem in cards else stem.replace("_", " ").capitalize()
    link = f"[{cell(name)}](/notebooks/{stem}.ipynb)"
    return [link, str(minutes(notebook)), level(about), cell(", ".join(tags(about)))]
