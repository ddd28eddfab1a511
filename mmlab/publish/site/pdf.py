"""The book as one PDF: headless Chromium prints each page of the site, and the prints are joined.

It is what a browser prints, with formulas and figures as on the screen. Each page gets an entry in the outline, and
links lead to the public site.
"""

from __future__ import annotations

import functools
import html
import http.server
import io
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mmlab.paths import expand
from mmlab.publish import project
from mmlab.store.folders import write_whole

__all__ = ["PdfError", "find_browser", "pdf"]

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-background-networking"),
    *("--disable-component-update", "--disable-dev-shm-usage", "--no-pdf-header-footer"),
    "--virtual-time-budget=30000",  # formulas and widgets are set before the page is printed
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_PIXELS = re.compile(r"^data:image/(png|jpeg|gif|webp)|\.(png|jpe?g|gif|webp)$", re.IGNORECASE)
_FOLDED = '<details class="sd-'  # receipts and other drop-downs; exercises unfold by themselves when they are printed
_LIMIT = 180  # seconds for one page


class PdfError(RuntimeError):
    """The PDF could not be made, or is not whole; nothing is written."""


def find_browser() -> str:
    """The path of Chromium or Chrome.

    Raises:
        PdfError: If there is none.
    """
    for name in _BROWSERS:
        if found := shutil.which(name):
            return found
    raise PdfError("No PDF: it takes Chromium or Chrome to print the pages, and neither is on the PATH.")


def pdf(target: Path, out: Path = Path("out"), *, root: Path | None = None) -> Path:
    """Print the site, in the order of the table of contents, to one file.

    Args:
        target: The file to write; relative to the folder of the book, like ``out``.
        out: Folder of the results, with the site in it.
        root: Folder of the book.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If there is no site.
        PdfError: If there is no browser, a page cannot be printed, a figure is missing, or there are no more sheets
            than pages.
    """
    from pypdf import PdfReader, PdfWriter

    root = root or project.find_root()
    site, entries, config = root / expand(out, "out") / "site", project.toc_entries(root), project.config(root)
    browser = find_browser()
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"There is no website in {site} yet: run `make book` first.")
    writer = PdfWriter()
    workplace = tempfile.TemporaryDirectory(prefix="mmlab-pdf-", ignore_cleanup_errors=True)
    with workplace as folder, _served(site) as (home, missing):
        for number, entry in enumerate(entries):
            printed = Path(folder) / f"{number}.pdf"
            _print(browser, f"{home}/{entry}.html", printed, Path(folder) / "profile")
            # The browser draws an icon where an image is missing, so that counting images would not find it.
            if absent := [path for path in missing if not path.startswith("/favicon")]:
                raise PdfError(f"{entry}.html asks for {absent[0]}, which is not in the site.")
            source = (site / f"{entry}.html").read_text(encoding="utf-8")
            found, expected = _images(PdfReader(printed)), _figures(source)
            if found < expected:
                raise PdfError(f"The print of {entry}.html shows {found} of its {expected} figures.")
            writer.append(str(printed), outline_item=_title(source) or entry)
        _lead_to(writer, home, (config.get("html") or {}).get("baseurl", ""))
    if len(writer.pages) <= len(entries):
        raise PdfError(f"The PDF has {len(writer.pages)} sheets for {len(entries)} pages: they cannot all be there.")
    writer.add_metadata({"/Title": config.get("title", ""), "/Author": config.get("author", "")})
    writer.compress_identical_objects()
    content = io.BytesIO()
    writer.write(content)
    target = root / expand(target, "target")
    write_whole(target, content.getvalue())
    return target


def _print(browser: str, address: str, target: Path, profile: Path) -> None:
    # As root, which is what containers run as, Chromium has no sandbox; it sees nothing but these pages.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [browser, *_FLAGS, *sandbox, f"--user-data-dir={profile}", f"--print-to-pdf={target}", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise PdfError(f"Printing {address} took longer than {_LIMIT} s.") from None
    if done.returncode or not target.is_file() or not target.read_bytes().startswith(b"%PDF"):
        raise PdfError(f"{Path(browser).name} did not print {address}: {done.stderr.strip()[-300:]}")


@contextmanager
def _served(site: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on this machine, drop-downs of its pages unfolded.

    Gives its address, and a list that fills with what is asked for and is not there.
    """
    missing: list[str] = []

    class Unfolding(http.server.SimpleHTTPRequestHandler):
        def send_head(self) -> Any:
            path = Path(self.translate_path(self.path))
            if path.suffix != ".html" or not path.is_file():
                return super().send_head()
            content = path.read_text(encoding="utf-8").replace(_FOLDED, _FOLDED.replace(" ", " open ", 1)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return io.BytesIO(content)

        def send_error(self, *arguments: Any, **options: Any) -> None:
            missing.append(self.path)
            super().send_error(*arguments, **options)

        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Unfolding, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", missing
        finally:
            server.shutdown()
            thread.join()


def _images(reader: Any) -> int:
    """Number of different images that the sheets show."""
    found = set()
    for page in reader.pages:
        waiting = [page.get("/Resources")]
        while waiting:  # images may lie inside drawings, which have resources of their own
            resources = waiting.pop()
            drawn = (resources.get_object() if resources else {}).get("/XObject", {})
            for reference in drawn.get_object().values() if drawn else ():
                shown = reference.get_object()
                if shown.get("/Subtype") == "/Image":
                    found.add(getattr(reference, "idnum", id(shown)))
                elif "/Resources" in shown:
                    waiting.append(shown["/Resources"])
    return len(found)


class _Figures(HTMLParser):
    """Collects the addresses of images in the article of a page. Scripts hold data, not images."""

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.found = 0, set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag == "article"
        address = dict(attrs).get("src") or ""
        if tag == "img" and self.depth and _PIXELS.search(address):
            self.found.add(address)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "article"


def _figures(source: str) -> int:
    """Number of different figures made of pixels in a page; drawings have no images in the PDF."""
    parser = _Figures()
    parser.feed(source)
    return len(parser.found)


def _title(source: str) -> str:
    found = re.search(r"<title>(.*?)</title>", source, re.DOTALL)
    return html.unescape(found[1]).partition(" \N{EM DASH} ")[0].strip() if found else ""


def _lead_to(writer: Any, home: str, base: str) -> None:
    """Let links that lead to the site on this machine lead to the public one."""
    from pypdf.generic import NameObject, TextStringObject

    for page in writer.pages:
        for reference in page.get("/Annots") or ():
            action = reference.get_object().get("/A")
            address = str(action.get_object().get("/URI", "")) if action else ""
            if address.startswith(home):
                action.get_object()[NameObject("/URI")] = TextStringObject(base.rstrip("/") + address[len(home) :])
