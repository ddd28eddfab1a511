"""How to cite a chapter and the paper of its method: as BibTeX and in words, made from what the book says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmlab import __version__
from mmlab.publish import project
from mmlab.publish.chapter import Chapter
from mmlab.publish.links import entry

__all__ = ["citation", "entry"]


def citation(stem: str, title: str, root: Path) -> str:
    """The folded box at the end of a chapter's page; empty if the book has no ``CITATION.cff``.

    Args:
        stem: The chapter.
        title: Its heading.
        root: Folder of the book.
    """
    path = root / "CITATION.cff"
    if not path.exists():
        return ""
    about = project.read_yaml(path)
    site = (project.config(root).get("html") or {}).get("baseurl") or about["url"]
    address = f"{site.rstrip('/')}/notebooks/{stem}.html"
    year = str(about.get("date-released") or project.config(root)["copyright"])[:4]
    who = "; ".join(map(_name, about["authors"]))
    stop = "" if title[-1:] in ".?!" else "."  # a question has its mark already
    words = f"{who} ({year}). {title}{stop} In *{about['title']}*, version {__version__}. <{address}>"
    fields = {
        "title": f"{{{title}}}",
        "author": " and ".join(map(_bibtex_name, about["authors"])),
        "year": year,
        "note": f"Chapter of \\emph{{{about['title']}}}, version {__version__}",
        "url": address,
    }
    width = max(map(len, fields))
    lines = "\n".join(f"  {key:<{width}} = {{{value}}}," for key, value in fields.items())
    text = f"{words}\n\n```bibtex\n@misc{{mmlab_{stem},\n{lines}\n}}\n```\n"
    keys = dict.fromkeys(card.paper for card in Chapter(root, stem).cards.values())
    papers = {key: found for key in keys if (found := entry(key, root))}
    if papers:
        cited = ", ".join(f"{{cite:t}}`{key}`" for key in papers)
        one = len(papers) == 1
        whose = "The method is" if one else "The methods are"
        text += f"\n{whose} not ours. Please cite {'its paper' if one else 'their papers'} too: {cited}.\n\n"
        text += "```bibtex\n" + "\n\n".join(papers.values()) + "\n```\n"
    return f"::::{{dropdown}} Cite this chapter\n\n{text}\n::::"


def _name(author: dict[str, Any]) -> str:
    parts = (author.get("given-names"), author.get("family-names"))
    return author.get("name") or " ".join(part for part in parts if part)


def _bibtex_name(author: dict[str, Any]) -> str:
    """A person as last and first name; a group in braces, so that its name is not taken apart."""
    parts = (author.get("family-names"), author.get("given-names"))
    return f"{{{author['name']}}}" if "name" in author else ", ".join(part for part in parts if part)
