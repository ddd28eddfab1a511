"""Where the roles and links of a chapter lead when it is read outside the site: pages of the site, as Markdown."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mmlab.publish import project
from mmlab.wording import nearest

__all__ = ["Links", "entry"]

_ACCENTS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "~": "\u0303", "^": "\u0302", "c": "\u0327", "v": "\u030c"}
_LETTERS = {"o": "ø", "O": "Ø", "ss": "ß", "l": "ł", "L": "Ł", "i": "i", "ae": "æ", "aa": "å"}


@dataclass(frozen=True)
class Links:
    """What a chapter refers to, looked up in the files of the book.

    Attributes:
        root: Folder of the book.
        stem: The chapter.
    """

    root: Path
    stem: str

    def role(self, name: str, content: str) -> str:
        """A role of MyST as Markdown.

        Args:
            name: Its name, for example ``"doc"`` or ``"py:func"``.
            content: What stands between the backticks.

        Raises:
            ValueError: If the role is not known here, or what it names is not in the book.
        """
        explicit = re.fullmatch(r"(.+?)\s*<(.+)>", content)
        text, target = explicit.groups() if explicit else ("", content)
        if name in ("cite", "cite:p", "cite:t"):
            return self._citation(content, textual=name == "cite:t")
        if name == "doc":
            return f"[{text or self._title(target)}]({self.target(target)})"
        if name == "ref":
            return f"[{text or target.replace('-', ' ')}]({self.target('#' + target)})"
        if name == "term":
            return f"[{text or target}]({self.target('/book/glossary.md')})"
        if name == "math":
            return f"${content}$"
        if name.startswith("py:"):
            return self._object(text, target)
        known = ["cite", "cite:t", "doc", "ref", "term", "math", "py:func", "py:class", "py:meth", "py:mod", "py:data"]
        raise ValueError(f"{self._place} uses the role {name!r}, which Colab cannot show: {nearest(name, known)}")

    def target(self, address: str) -> str:
        """Where a link leads: pages of the book to the site, other addresses as they are.

        Raises:
            ValueError: If there is no such page.
        """
        if re.match(r"[a-z]+:", address):
            return address
        page, mark, anchor = address.partition("#")
        path = self._page(page) if page else f"notebooks/{self.stem}"
        return f"{self._site}/{path}.html{mark}{anchor}"

    @property
    def _place(self) -> str:
        return f"notebooks/{self.stem}.py"

    @property
    def _site(self) -> str:
        address = (project.config(self.root).get("html") or {}).get("baseurl")
        if not address:
            raise ValueError("_config.yml has no html.baseurl: links of the notebooks that Colab opens lead there.")
        return address.rstrip("/")

    def _page(self, target: str) -> str:
        """Path of a page, without suffix; a target is relative to the chapter, or to the book after a slash."""
        path = target[1:] if target.startswith("/") else f"notebooks/{target}"
        parts: list[str] = []
        for part in re.sub(r"\.(md|ipynb)$", "", path).split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part != ".":
                parts.append(part)
        page = "/".join(parts)
        if not self._file(page).exists():
            raise ValueError(f"{self._place} links to {target}, which is no page of the book: correct the link.")
        return page

    def _file(self, page: str) -> Path:
        return self.root / (f"{page}.py" if page.startswith("notebooks/") else f"{page}.md")

    def _title(self, target: str) -> str:
        """The heading of a page."""
        page = self._page(target)
        path = self._file(page)
        heading = r"^# # (.+)$" if path.suffix == ".py" else r"^# (.+)$"
        found = re.search(heading, path.read_text(encoding="utf-8-sig"), re.MULTILINE)
        return found[1] if found else page

    def _object(self, text: str, target: str) -> str:
        """A name of the package in code letters, with its place in the API where it has one."""
        name = target.lstrip("~")
        shown = text or f"`{name.rpartition('.')[2] if target.startswith('~') else name}`"
        page = self._api(name)
        return f"[{shown}]({self.target(page)}#{name})" if page else shown

    def _api(self, name: str) -> str | None:
        """The page of the API that documents a name; None where no page lists its module."""
        parts = name.split(".")
        if parts[1:2] == ["methods"] and len(parts) > 2:
            return f"/book/api/methods/{parts[2]}"
        modules = [".".join(parts[:count]) for count in range(len(parts), 1, -1)]
        modules = [module for module in modules if self._is_module(module)]
        for path in sorted((self.root / "book" / "api").glob("*.md")):
            listed = re.search(r"<!-- modules: (.*?) -->", path.read_text(encoding="utf-8-sig"), re.DOTALL)
            patterns = listed[1].split() if listed else []
            if any(fnmatch(module, pattern) for module in modules for pattern in patterns):
                return f"/book/api/{path.stem}"
        return None

    def _is_module(self, name: str) -> bool:
        path = self.root.joinpath(*name.split("."))
        return path.is_dir() or path.with_suffix(".py").exists()

    def _citation(self, keys: str, *, textual: bool) -> str:
        """Authors and years, each with a link to the bibliography."""
        address = self.target("/book/bibliography.md")
        cited = []
        for key in (part.strip() for part in keys.split(",")):
            authors, year = self._authors_and_year(key)
            cited.append(f"[{authors} ({year})]({address})" if textual else f"[{authors}, {year}]({address})")
        return ", ".join(cited) if textual else f"({'; '.join(cited)})"

    def _authors_and_year(self, key: str) -> tuple[str, str]:
        found = entry(key, self.root)
        if not found:
            raise ValueError(f"{self._place} cites {key!r}, which is not in book/references.bib: add it there.")
        names = [_last_name(name) for name in re.split(r"\s+and\s+", _field(found, "author"))]
        if len(names) > 2 or names[-1] == "others":
            return f"{names[0]} et al.", _field(found, "year")
        return " and ".join(names), _field(found, "year")


def entry(key: str, root: Path) -> str:
    """An entry of ``book/references.bib`` as it stands there; empty if there is none with this key."""
    path = root / "book" / "references.bib"
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    begun = re.search(rf"^@\w+{{{re.escape(key)}\s*,", text, re.MULTILINE)
    return text[begun.start() : _end_of_group(text, text.index("{", begun.start()))] if begun else ""


def _field(text: str, name: str) -> str:
    """What a field of an entry says, on one line; "n.d." where it is missing."""
    begun = re.search(rf"^\s*{name}\s*=\s*(?=[{{\"\d])", text, re.MULTILINE)
    if not begun:
        return "n.d."
    if text[begun.end()] == "{":
        value = text[begun.end() + 1 : _end_of_group(text, begun.end()) - 1]
    else:
        value = re.match(r'"([^"]*)"|\d+', text[begun.end() :])[0].strip('"')  # type: ignore[index]
    return " ".join(value.split())


def _end_of_group(text: str, begin: int) -> int:
    """The place after the brace that closes the one at ``begin``."""
    depth = 0
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at + 1
    return len(text)


def _last_name(name: str) -> str:
    """The family name of an author, or the whole name of a group, which stands in braces."""
    if name.startswith("{") and _end_of_group(name, 0) == len(name):
        return _readable(name)
    return _readable(name.partition(",")[0] if "," in name else name.rpartition(" ")[2])


def _readable(text: str) -> str:
    r"""Text without the marks of LaTeX: ``Ga{\"e}l`` is Gaël."""
    letter = r"\\(?P<accent>[\"'`~^]|[cv](?=[\s{]))\s*\{?\\?(?P<letter>\w)\}?"
    text = re.sub(letter, lambda found: found["letter"] + _ACCENTS[found["accent"]], text)
    text = re.sub(r"\\(ss|ae|aa|o|O|l|L|i)(?![a-zA-Z])\s*", lambda found: _LETTERS[found[1]], text)
    return unicodedata.normalize("NFC", re.sub(r"[{}]|\\(?=&)", "", text))
