"""Pages that are made when the site is built: how every chapter ran, the map of methods, the chapters of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mmlab.card import Card
from mmlab.publish import project
from mmlab.publish.run import machine
from mmlab.publish.run.receipt import MEAN_SECONDS, Receipt, mean_seconds
from mmlab.publish.site.escape import cell, code
from mmlab.registry import chapter_of

__all__ = ["chapters_of", "listed_in", "map_of_methods", "part_table", "status", "table", "told"]

_PASS, _FAIL = "✓ pass", "✗ **fail**"


def status(receipts: Sequence[Receipt], cards: Mapping[str, Card]) -> str:
    """How each chapter ran, as a table.

    Args:
        receipts: Receipts of all chapters, in the order of the book; a chapter may have one for each profile.
        cards: Cards of all methods, by stem, and of chapters that tell of no method or of several, by theirs.
    """
    passed = sum(receipt.within_budget for receipt in receipts)
    total = sum(receipt.seconds for receipt in receipts)
    average = ""
    if (mean := mean_seconds(receipts)) is not None:
        average = (
            f" On average a chapter takes {mean:.1f} processor seconds of the reference machine ({machine.REFERENCE}); "
            f"{MEAN_SECONDS:.0f} are allowed."
        )
    versions = sorted({_versions(receipt) for receipt in receipts})
    rows = [_run_row(receipt, cards, several=len(versions) > 1) for receipt in receipts]
    heads = ["Chapter", "Began (UTC)", "Where", "Seconds", "Processor", "Factor", "Counted", "Allowed"]
    heads += ["GB", "Allowed", "Budget"]
    return (
        f"**{passed} of {len(receipts)} runs kept their budget; all together took {total / 60:.1f} minutes.**{average} "
        f"Versions: {'; '.join(versions)}.\n\n"
        + table(
            heads + ["Versions"] * (len(versions) > 1),
            rows,
            "The runs that made this site: seconds of the clock and of the processor, the machine's factor, the "
            "seconds that count, and the most memory.",
        )
    )


def map_of_methods(cards: Mapping[str, Card], pictures: Mapping[str, tuple[str, str]], root: Path) -> str:
    """All methods that have a chapter in this book, as one table with pictures.

    Args:
        cards: Cards of the methods to show, by stem, in the order of the book.
        pictures: For each stem the address of its picture, seen from the page, and the alt text.
        root: Folder of the book.
    """
    url, tag = project.repository(root)[0], project.tag(root)
    rows = []
    for stem, card in cards.items():
        address, alt = pictures[stem]
        chapter = chapter_of(stem, card)
        links = [
            f"{{py:mod}}`API <mmlab.methods.{stem}>`",
            f"[notebook]({url}/blob/{tag}/notebooks/{chapter}.ipynb)",
        ]
        rows.append(
            [
                f"![{cell(alt)}]({address})",
                f"[{cell(card.name)}](/notebooks/{chapter}.ipynb) ({', '.join(links)})",
                card.family,
                ", ".join(card.inputs),
                ", ".join(card.outputs) or "label",
                card.summary + (f" *{', '.join(card.tags)}*" if card.tags else ""),
            ]
        )
    heads = ["Picture", "Method", "Family", "Inputs", "Outputs", "What it does"]
    made = table(heads, rows, "The methods of this book, made from their cards.", "mm-map mm-filter mm-sortable")
    return f"::::{{div}} mm-wide\n{made}::::\n"


def chapters_of(page: str, root: Path) -> list[str]:
    """The chapters that stand in the same part of the contents as a page, by stem.

    Args:
        page: The page as ``_toc.yml`` names it, for example ``"book/parts/fusion"``.
        root: Folder of the book.
    """
    contents = project.read_yaml(root / "_toc.yml")
    for part in contents.get("parts", [contents]):
        files = [entry["file"] for entry in part.get("chapters", [])]
        if page in files:
            return [name.removeprefix("notebooks/") for name in files if name.startswith("notebooks/")]
    return []


def listed_in(root: Path) -> dict[str, list[str]]:
    """The chapters of each part of the contents, by its caption.

    Args:
        root: Folder of the book.
    """
    contents = project.read_yaml(root / "_toc.yml")
    found = {}
    for part in contents.get("parts", [contents]):
        files = [entry["file"] for entry in part.get("chapters", []) if "file" in entry]
        found[part.get("caption", "Chapters")] = [
            name.removeprefix("notebooks/") for name in files if name.startswith("notebooks/")
        ]
    return found


def part_table(receipts: Sequence[Receipt], cards: Mapping[str, Card]) -> str:
    """The chapters of a part, what each is about, what its paper says it beats, and how long it takes."""
    rows = []
    for receipt in receipts:
        about = [cards[stem] for stem in told(receipt.stem, cards)]
        rivals = list(dict.fromkeys(_words(claim.baseline) for card in about for claim in card.claims))
        summary = " ".join(card.summary for card in about)
        rows.append([_chapter(receipt, cards), summary, ", ".join(rivals), f"{receipt.seconds:.0f} s"])
    return table(
        ["Chapter", "In a sentence", "Compared with, among others", "Ran in"], rows, "Chapters of this part.", ""
    )


def told(chapter: str, cards: Mapping[str, Card]) -> list[str]:
    """The stems of the cards that a chapter is about: of its methods, or its own.

    Args:
        chapter: Stem of the chapter.
        cards: By stem.
    """
    return [stem for stem, card in cards.items() if chapter_of(stem, card) == chapter]


def _run_row(receipt: Receipt, cards: Mapping[str, Card], *, several: bool) -> list[str]:
    row = [
        _chapter(receipt, cards),
        datetime.fromisoformat(receipt.date).strftime("%Y-%m-%d %H:%M"),
        f"{cell(receipt.device)} ({code(receipt.profile)})",
        f"{receipt.seconds:.1f}",
        f"{receipt.cpu_seconds:.1f}",
        f"{receipt.machine_factor:.2f}",
        f"{receipt.counted_seconds:.1f}",
        f"{receipt.budget['seconds']:.0f}",
        f"{receipt.peak_memory_mb / 1000:.2f}",
        f"{receipt.budget['memory_mb'] / 1000:.1f}",
        f"{_FAIL}: {' and '.join(receipt.over)}" if receipt.over else _PASS,
    ]
    return [*row, _versions(receipt)] if several else row


def _versions(receipt: Receipt) -> str:
    return cell(", ".join(f"{name} {found}" for name, found in receipt.versions.items()))


def _chapter(receipt: Receipt, cards: Mapping[str, Card]) -> str:
    title = cards[receipt.stem].name if receipt.stem in cards else _words(receipt.stem).capitalize()
    return f"[{cell(title)}](/notebooks/{receipt.stem}.ipynb)"


def _words(stem: str) -> str:
    return stem.replace("_", " ")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, kind: str = "mm-sortable") -> str:
    """A table in MyST.

    Args:
        heads: Headings of the columns.
        rows: Cells, in Markdown.
        caption: What it shows.
        kind: Classes, which say what the page's script does with it.
    """
    lines = [heads, ["---"] * len(heads), *rows]
    body = "\n".join(f"| {' | '.join(entry.replace(chr(10), ' ') for entry in line)} |" for line in lines)
    return f"```{{table}} {caption}\n:class: mm-made {kind}\n:align: left\n\n{body}\n```\n"
