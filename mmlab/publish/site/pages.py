"""What a page of the site is checked for: images with words, no traceback, live links, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmlab.publish.site.loads import elsewhere, from_attributes, from_css, from_script, plain
from mmlab.viz.markup import alt_problem

__all__ = ["Page", "problems", "read"]

_TRACEBACK = "Traceback (most recent call last)"
_GENERATED = {"genindex", "search", "index", "py-modindex"}
_DATA_TYPES = ("json", "text/plain", "math/", "text/x-")  # a <script> of these types is not run
_RUNS = re.compile(r"(javascript|vbscript):", re.IGNORECASE)
_LOCAL = re.compile(r"(data|blob|about|javascript):", re.IGNORECASE)


@dataclass
class Page:
    """What was found in one HTML file.

    Attributes:
        images: For each image its alt text (None: no such attribute) and whether it stands in the article.
        fetched: Addresses that a browser loads by itself.
        links: Targets of the links.
        anchors: Names that a link can point to.
        text: All text, without marks.
        odd: What no page of this site has, as the end of a sentence: a link that runs a script, another base.
    """

    images: list[tuple[str | None, bool]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    text: str = ""
    odd: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.article = 0
        self.pieces: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(reversed(attrs))  # of two attributes of one name a browser takes the first
        self.article += tag == "article"
        if tag == "img":
            self.page.images.append((found.get("alt"), self.article > 0))
        self.page.fetched += from_attributes(tag, found)
        if tag == "base":
            self.page.odd.append("has another base for its addresses.")
        if tag in ("a", "area") and (link := found.get("href") or found.get("xlink:href")):
            self.page.links.append(link)
        for name in ("href", "xlink:href", "action", "formaction", "src", "data", "to", "values"):
            if _RUNS.match(plain(found.get(name) or "")):
                self.page.odd.append(f"has an address that runs a script, in {name} of <{tag}>.")
        self.page.anchors |= {found[key] or "" for key in ("id", "name") if found.get(key)}
        if inner := found.get("srcdoc"):
            self._add(inner)
        kind = (found.get("type") or "").lower()
        self.inside = "style" if tag == "style" else ""
        if tag == "script" and not any(part in kind for part in _DATA_TYPES):
            self.inside = "script"

    def _add(self, inner: str) -> None:
        """What a page inside the page loads."""
        page = _read(inner)
        self.page.fetched += page.fetched
        self.page.odd += page.odd

    def handle_endtag(self, tag: str) -> None:
        self.article -= tag == "article"
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)
        if self.inside == "style":
            self.page.fetched += from_css(data)
        elif self.inside == "script":
            self.page.fetched += from_script(data)


def _read(text: str) -> Page:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.page.text = "".join(reader.pieces)
    return reader.page


def read(path: Path) -> Page:
    """Read one HTML file."""
    return _read(path.read_text(encoding="utf-8"))


def problems(site: Path, entries: Iterable[str], folder: Path | None = None) -> list[str]:
    """All that is wrong with a built site, one sentence each; empty if it is as it should be.

    Args:
        site: Folder of the HTML files.
        entries: The pages that ``_toc.yml`` promises, without suffix.
        folder: Where the book was built: a page that names it shows something that is only true of this machine.
    """
    wanted = set(entries)
    files = {path.relative_to(site).with_suffix("").as_posix(): path for path in sorted(site.rglob("*.html"))}
    files = {name: path for name, path in files.items() if not name.startswith("_")}
    built = files.keys() - _GENERATED
    found = [f"{name}.html was not built, though _toc.yml lists {name}." for name in sorted(wanted - built)]
    found += [f"{name}.html was built, though _toc.yml does not list it." for name in sorted(built - wanted)]
    pages = {path.resolve(): read(path) for path in files.values()}
    for name, path in files.items():
        page = pages[path.resolve()]
        if _TRACEBACK in page.text:
            found.append(f"{name}.html shows a traceback.")
        if folder and _names(folder, page.text):
            found.append(f"{name}.html names {folder}, a folder of the machine that built it.")
        found += [f"{name}.html {issue}" for issue in page.odd]
        found += _load_problems(f"{name}.html", path, page.fetched)
        found += [f"{name}.html has an image whose alt text {issue}" for issue in _image_problems(page)]
        found += [f"{name}.html links to {link}, {issue}" for link, issue in _dead_links(path, page, pages)]
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        text = path.read_text(encoding="utf-8", errors="replace")
        loaded = from_css(text) if path.suffix == ".css" else _read(text).fetched
        found += _load_problems(path.relative_to(site).as_posix(), path, loaded)
    return found


def _names(folder: Path, text: str) -> bool:
    """Whether a text names a folder or what is in it.

    A folder right below the root, as ``/data``, is also a word that prose may use: there a file in it must be named.
    """
    inside = r"(/[^\s'\"<>()\[\],;:]*)?"
    for match in re.finditer(rf"(?<![\w.…~/-]){re.escape(str(folder))}(?![\w-]){inside}", text):
        rest = (match[1] or "").strip("/.")
        if len(folder.parts) > 2 or (rest and (folder / rest).exists()):
            return True
    return False


def _load_problems(name: str, path: Path, addresses: Iterable[str]) -> list[str]:
    """What a file loads that is elsewhere or not there."""
    found = []
    for address in dict.fromkeys(map(plain, addresses)):
        if elsewhere(address):
            found.append(f"{name} would load {address} from elsewhere.")
            continue
        if _LOCAL.match(address) or not (target := unquote(urlsplit(address).path)):
            continue
        if target.startswith("/") or not (path.parent / target).exists():
            found.append(f"{name} would load {address}, which is not there.")
    return found


def _image_problems(page: Page) -> list[str]:
    """An image in the article must be described; one of the theme must at least not be called by its file name."""
    found = []
    for alt, in_article in page.images:
        if alt is None:
            found.append("is missing.")
        elif (issue := alt_problem(alt)) and (in_article or "a name and no description" in issue):
            found.append(issue)
    return found


def _dead_links(path: Path, page: Page, pages: dict[Path, Page]) -> list[tuple[str, str]]:
    found = []
    for link in dict.fromkeys(map(plain, page.links)):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or link == "#":
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        if not target.exists():
            found.append((link, "which does not exist."))
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            found.append((link, "but there is no such place on that page."))
    return found
