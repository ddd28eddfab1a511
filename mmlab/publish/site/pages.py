"""What a page of the site is checked for: images with words, no traceback, live links, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmlab.viz.markup import alt_problem

__all__ = ["Page", "problems", "read"]

_TRACEBACK = "Traceback (most recent call last)"
_REMOTE = re.compile(r"^(https?:)?//", re.IGNORECASE)
_FETCHED_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "manifest", "preconnect", "dns-prefetch"}
_SOURCES = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "object": "data"}
_GENERATED = {"genindex", "search", "index", "py-modindex"}


@dataclass
class Page:
    """What was found in one HTML file.

    Attributes:
        images: For each image its alt text (None: no such attribute) and whether it stands in the article.
        fetched: Addresses that a browser loads by itself.
        links: Targets of the links.
        anchors: Names that a link can point to.
        text: All text, without marks.
    """

    images: list[tuple[str | None, bool]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.article = 0
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.article += tag == "article"
        if tag == "img":
            self.page.images.append((found.get("alt"), self.article > 0))
        if tag in _SOURCES and (address := found.get(_SOURCES[tag])):
            self.page.fetched.append(address)
        if tag == "link" and _FETCHED_RELATIONS & set((found.get("rel") or "").lower().split()):
            self.page.fetched.append(found.get("href") or "")
        if tag == "a" and found.get("href"):
            self.page.links.append(found["href"] or "")
        self.page.anchors |= {found[key] or "" for key in ("id", "name") if found.get(key)}

    def handle_endtag(self, tag: str) -> None:
        self.article -= tag == "article"

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


def read(path: Path) -> Page:
    """Read one HTML file."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.page.text = "".join(reader.pieces)
    return reader.page


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
        if folder and str(folder) in page.text:
            found.append(f"{name}.html names {folder}, a folder of the machine that built it.")
        found += [f"{name}.html would load {url} from elsewhere." for url in page.fetched if _REMOTE.match(url)]
        found += [f"{name}.html has an image whose alt text {issue}" for issue in _image_problems(page)]
        found += [f"{name}.html links to {link}, {issue}" for link, issue in _dead_links(path, page, pages)]
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
    for link in dict.fromkeys(page.links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or link == "#":
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        if not target.exists():
            found.append((link, "which does not exist."))
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            found.append((link, "but there is no such place on that page."))
    return found
