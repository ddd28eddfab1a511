"""The files of a new method, and the table of methods in the README."""

from __future__ import annotations

import datetime
import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from mmlab.card import Card
from mmlab.registry import list_methods

__all__ = ["TABLE_END", "TABLE_START", "methods_table", "new_method", "refresh_readme"]

TABLE_START = "<!-- The table of methods, made by `make format`. -->"
TABLE_END = "<!-- End of the table of methods. -->"

_TEMPLATES = Path(__file__).parent / "templates"


def new_method(stem: str, root: Path, chapter: str = "") -> list[Path]:
    """Write the module, the chapter, its exercises, the tests, the line in ``_toc.yml`` and an entry for the paper.

    What is written is a small method that works, so that the tests pass from the first minute.

    Args:
        stem: The one name of the method: lower-case words joined by underscores.
        root: Folder of the book.
        chapter: Stem of a chapter that is there and will tell of the method, too; empty for a chapter of its own.

    Returns:
        The files that were made or changed.

    Raises:
        ValueError: If the stem is no such name or is taken, or the table of contents has no chapter to put it after.
        FileNotFoundError: If there is no such chapter.
    """
    from mmlab.command.api import refresh_api
    from mmlab.command.house import refresh_house
    from mmlab.publish.chapter import Chapter
    from mmlab.publish.committed import sync
    from mmlab.store.folders import write_whole

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", stem) or keyword.iskeyword(stem) or len(stem) > 40:
        raise ValueError(
            f"{stem!r} is no name for a method: use lower-case words joined by underscores, as in METHOD=late_fusion."
        )
    made = {
        root / "mmlab" / "methods" / f"{stem}.py": "method",
        root / "tests" / "methods" / f"test_{stem}.py": "test",
        root / "mmlab" / "exercises" / f"{stem}.py": "exercises",
        root / "tests" / "exercises" / f"test_{stem}.py": "exercises_test",
        root / "notebooks" / f"{stem}.py": "notebook",
        root / "tests" / "notebooks" / f"{stem}.json": "smallest",
    }
    if chapter:
        made = {path: template for path, template in made.items() if template in ("method", "test")}
        Chapter(root, chapter).source  # noqa: B018 - raises where there is none
    taken = [path for path in [*made, root / "notebooks" / f"{stem}.ipynb"] if path.exists()]
    if taken:
        raise ValueError(f"The name {stem!r} is taken: {taken[0].relative_to(root)} exists.")
    names = {
        "stem": stem,
        "class_name": "".join(word.capitalize() for word in stem.split("_")),
        "title": stem.replace("_", " ").capitalize(),
        "label": stem.replace("_", "-"),
        "chapter": f'        chapter="{chapter}",\n' if chapter else "",
        "year": str(datetime.datetime.now(tz=datetime.UTC).year),
    }
    contents, references = root / "_toc.yml", root / "book" / "references.bib"
    entry = _fill("reference", names) if f"{{{stem}," not in references.read_text(encoding="utf-8") else ""
    listing = contents.read_text(encoding="utf-8")
    changed = {
        contents: listing if chapter else _with_chapter(listing, stem),
        references: references.read_text(encoding="utf-8") + entry,
    }
    for path, text in {**{path: _fill(template, names) for path, template in made.items()}, **changed}.items():
        write_whole(path, text)
    list_methods.cache_clear()
    made_too = [*refresh_readme(root), *refresh_house(root), *refresh_api(root)]
    return [*made, *changed, *sync([chapter or stem], root=root), *made_too]


def methods_table(cards: Mapping[str, Card]) -> str:
    """The methods by family and name, as a Markdown table with a row for each family.

    Args:
        cards: Cards by stem.
    """
    families: dict[str, list[tuple[str, str]]] = {}
    for stem, card in cards.items():
        link = f"[{card.name}](notebooks/{card.chapter or stem}.ipynb)"
        families.setdefault(card.family, []).append((card.name.casefold(), link))
    rows = [
        f"| {family} | {', '.join(link for _, link in sorted(families[family]))} |"
        for family in sorted(families, key=str.casefold)
    ]
    return "\n".join(["| family | methods, each with its chapter |", "| --- | --- |", *rows])


def refresh_readme(root: Path) -> list[Path]:
    """Put the table of methods into the README.

    Args:
        root: Folder of the book; its methods are read, not those of the installed package.

    Returns:
        The README if it changed, else nothing.

    Raises:
        ValueError: If the README has lost the lines that the table stands between.
    """
    from mmlab.store.folders import write_whole

    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    if TABLE_START not in text or TABLE_END not in text:
        raise ValueError(f"{readme} has lost the lines {TABLE_START!r} and {TABLE_END!r}: put them back.")
    before, rest = text.split(TABLE_START)
    after = rest.split(TABLE_END)[1]
    new = f"{before}{TABLE_START}\n\n{methods_table(list_methods(root / 'mmlab' / 'methods'))}\n\n{TABLE_END}{after}"
    if new == text:
        return []
    write_whole(readme, new)
    return [readme]


def _fill(template: str, names: Mapping[str, str]) -> str:
    return Template((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(names)


def _with_chapter(contents: str, stem: str) -> str:
    """The table of contents with a line for the chapter after the last one."""
    lines = contents.splitlines()
    chapters = [number for number, line in enumerate(lines) if line.strip().startswith("- file: notebooks/")]
    if not chapters:
        raise ValueError("_toc.yml has no chapter under notebooks/ to put the new one after: add its line by hand.")
    indent = lines[chapters[-1]].split("-")[0]
    lines.insert(chapters[-1] + 1, f"{indent}- file: notebooks/{stem}")
    return "\n".join(lines) + "\n"
