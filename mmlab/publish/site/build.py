"""Build the site with Jupyter Book from a staging copy, and refuse to hand it over unless it is whole."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from mmlab.paths import expand
from mmlab.publish import project
from mmlab.publish.chapter import Chapter
from mmlab.publish.run import key
from mmlab.publish.run.processes import terminable
from mmlab.publish.site import pages, pictures, staging
from mmlab.store.files import clear_dead, temporary
from mmlab.store.folders import MADE, changed, discard, made_of, refuse_added, refuse_foreign, seal, take
from mmlab.store.lock import locked

__all__ = ["SiteError", "build", "refuse_foreign_folders"]

_BUILD = "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()"
_FRONT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Refresh" content="0; url={first}.html">
<title>{title}</title>
<link rel="icon" href="_static/favicon.svg">
</head>
<body><main><p><a href="{first}.html">Begin here.</a></p></main></body>
</html>
"""
_FOLDERS = ("site", "site-source", "site-build")
_PATIENCE = 3600.0  # seconds to wait for another build in the same folder
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class SiteError(RuntimeError):
    """The site could not be built as promised; nothing of it is left behind."""


def build(profile: str = "cpu", out: Path = Path("out"), *, root: Path | None = None) -> Path:
    """Render the site from prose and executed notebooks.

    Runs no notebook: each chapter needs fresh outputs in ``out/<profile>``. What has not changed is not rendered again.

    Args:
        profile: Whose outputs to show.
        out: Folder for results; relative to the folder of the book. The site goes to ``out/site``.
        root: Folder of the book.

    Returns:
        The first page, ``out/site/index.html``.

    Raises:
        SiteError: If a chapter has no fresh outputs, the renderer warns, a page is missing or one too many, or a page
            shows a traceback, has an image without words, a dead link, or loads anything from elsewhere.
    """
    root = root or project.find_root()
    out = root / expand(out, "out")
    _check_renderer()
    refuse_foreign_folders(out)
    (out / ".locks").mkdir(parents=True, exist_ok=True)
    with terminable(), locked(out / ".locks" / "site.lock", _PATIENCE):
        return _build(profile, out, root)


def refuse_foreign_folders(out: Path) -> None:
    """Refuse folders of results that hold somebody else's files, before anything is run or deleted.

    Args:
        out: Folder for results.

    Raises:
        NotOursError: If there is one.
    """
    for name in _FOLDERS:
        refuse_foreign(out / name)


def _build(profile: str, out: Path, root: Path) -> Path:
    site, source, work = (out / name for name in _FOLDERS)
    receipts, stale = staging.receipts(root, out / profile)
    if stale:
        raise SiteError("\n".join(stale))
    state = f"{staging.state(root, receipts)} {_renderer_versions()}"
    if made_of(site) == state and not changed(site):
        return site / "index.html"  # made of the same, looked through then, and as it was
    refuse_added(site)
    staging.fill(source, root, out / profile, receipts)
    _forget_old_assets(source, work)
    _render(source, work)
    clear_dead(site)
    new, old = temporary(site), temporary(site)
    try:
        shutil.copytree(work / "_build" / "html", new, ignore=shutil.ignore_patterns(".buildinfo", ".doctrees"))
        # The renderer's own front page only points on; this one has a title, an icon and a link besides.
        front = _FRONT.format(first=project.toc_entries(root)[0], title=html.escape(project.config(root)["title"]))
        (new / "index.html").write_text(front, encoding="utf-8")
        for path in sorted((source / staging.DATA).iterdir()):
            shutil.copy(path, new / path.name)
        for stem in receipts:  # the theme's button to download a page would hand out its MyST
            given, committed = new / "_sources" / "notebooks" / f"{stem}.ipynb", Chapter(root, stem).committed
            if given.exists() and committed.exists():
                shutil.copy(committed, given)
        if found := pages.problems(new, project.toc_entries(root), root):
            # Neither the pages nor the renderer's memory of them may pass for good ones the next time.
            for folder in (site, work):
                discard(folder)
            raise SiteError("The site is not as it should be:\n" + "\n".join(found[:20]))
        seal(new, state)
        seal(work, "rendered")
        refuse_added(site)
        if site.exists() or site.is_symlink():
            site.rename(old)
        new.rename(site)
        discard(old)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return site / "index.html"


def _check_renderer() -> None:
    found = version("jupyter-book")
    if not found.startswith("1."):
        raise SiteError(
            f"jupyter-book {found} is installed, but this book needs 1.x (2.x builds nothing here, and says nothing): "
            "install 'jupyter-book<2'."
        )


def _renderer_versions() -> str:
    names = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "sphinx-exercise", "sphinx-design")
    return " ".join(f"{name}={version(name)}" for name in names)


def _forget_old_assets(source: Path, work: Path) -> None:
    """Start anew if anything but a page changed: the renderer goes by pages, and would keep an old style sheet."""
    extension = Path(__file__).with_name("extension.py").read_text(encoding="utf-8")
    state = (
        staging.tree_hash(source, without=(".md", ".ipynb", MADE, *pictures.SUFFIXES))
        + _renderer_versions()
        + extension
    )
    stamp = work / "assets.key"
    # A page that was edited among the rendered ones would be copied into the site with them.
    edited = bool(made_of(work)) and bool(changed(work))
    if edited or not stamp.exists() or stamp.read_text(encoding="utf-8") != state:
        discard(work)
        take(work)
        stamp.write_text(state, encoding="utf-8")
    else:
        take(work)


def _render(source: Path, work: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(key.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-c", _BUILD, "build", str(source), "--path-output", str(work), "-W", "--keep-going"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    discard(work)  # a page rendered with a warning would not be looked at again
    lines = _ANSI.sub("", done.stdout + done.stderr).splitlines()
    told = [line.replace(f"{source}/", "") for line in lines if "WARNING" in line or "ERROR" in line]
    begins = next((at for at, line in enumerate(lines) if line.startswith("Traceback")), len(lines))
    cause = lines[
        max(begins - 20, 0) : begins
    ]  # what Sphinx said; the traceback is Jupyter Book's, which repeats nothing
    raise SiteError("Jupyter Book refused:\n" + "\n".join(told[:20] or cause or lines[-20:]))
