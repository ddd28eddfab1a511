"""The API pages of the methods: one for each, with the equations that its code names and the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from mmlab.card import Card
from mmlab.registry import list_methods

__all__ = ["method_page", "refresh_api"]

_FOLDER = Path("book/api/methods")
_EQUATION = re.compile(r"\$\$(?:(?!\$\$).)+?\\tag\{(\w+)\}\s*\$\$", re.DOTALL)


def method_page(stem: str, card: Card, root: Path) -> str:
    """The page of a method: what it does, its chapter, its equations, its module.

    Args:
        stem: Its name.
        card: Its card.
        root: Folder of the book.
    """
    chapter = card.chapter or stem
    module = (root / "mmlab" / "methods" / f"{stem}.py").read_text(encoding="utf-8")
    named = {number for line in re.findall(r"# Eqs?\. (.+)", module) for number in re.findall(r"\((\w+)\)", line)}
    source = root / "notebooks" / f"{chapter}.py"
    prose = re.sub(r"(?m)^# ?", "", source.read_text(encoding="utf-8")) if source.exists() else ""
    equations = [found[0] for found in _EQUATION.finditer(prose) if found[1] in named]
    link = f"[{card.name}](/notebooks/{chapter}.ipynb)"
    text = f"# {card.name}\n\n{card.summary} The chapter {link} derives and runs it.\n\n"
    if equations:
        text += "## Equations\n\nTheir numbers stand in the code, as `# Eq. (1)`; the chapter explains the symbols.\n\n"
        text += "\n\n".join(equations) + "\n\n"
    return f"{text}<!-- modules: mmlab.methods.{stem} -->\n"


def refresh_api(root: Path) -> list[Path]:
    """Write a page for each method, and remove those of methods that are gone.

    Args:
        root: Folder of the book.

    Returns:
        The files that changed.
    """
    from mmlab.store.folders import replace_pages

    folder = root / _FOLDER
    if not folder.parent.exists():
        return []
    folder.mkdir(exist_ok=True)
    cards = list_methods(root / "mmlab" / "methods")
    wanted = {folder / f"{stem}.md": method_page(stem, card, root) for stem, card in cards.items()}
    return replace_pages(wanted, folder, "<!-- modules: mmlab.methods.")
