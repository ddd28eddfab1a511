"""One call from sources to site: what it prints and what it returns."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mmlab.publish import SiteError, book, make, sync
from mmlab.publish.run import launch


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


@pytest.fixture(autouse=True)
def no_renderer(root, monkeypatch):
    """The renderer has tests of its own."""
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/one\n")
    monkeypatch.setattr(make, "build", lambda profile, out, root: root / out / "site" / "index.html")


def test_it_runs_what_changed_and_says_what_it_took(root, write, console):
    write("one", "x = 1")
    sync(root=root)
    assert book(root=root, console=console) == 0
    assert book(root=root, console=console) == 0
    text = console.file.getvalue()
    assert "one: ok after" in text
    assert "(first run)" in text
    assert [word for word in text.split() if word in ("ran", "unchanged")] == ["ran", "unchanged"]
    assert f"The site is at {root}/out/site/index.html" in text.replace("\n", "")


@pytest.mark.parametrize(("factor", "warned"), [(1e-4, True), (1e4, False)])
def test_chapters_that_are_too_slow_on_average_are_told(root, write, console, monkeypatch, factor, warned):
    monkeypatch.setattr(launch, "factor", lambda together: factor)
    write("one", "x = 1")
    sync(root=root)
    assert book(root=root, console=console) == 0
    assert ("on average; the book allows 35" in console.file.getvalue()) == warned


def test_a_notebook_out_of_step_stops_it(root, write, console):
    write("one", "x = 1")
    assert book(root=root, console=console) == 1
    assert "`mmlab book sync`" in console.file.getvalue()


def test_a_chapter_that_fails_stops_it(root, write, console):
    write("one", "1 / 0")
    sync(root=root)
    assert book(root=root, console=console) == 1
    text = console.file.getvalue()
    assert "cell error" in text
    assert "ZeroDivisionError" in text
    assert "The site is at" not in text


def test_a_site_that_is_not_whole_stops_it(root, write, console, monkeypatch):
    write("one", "x = 1")
    sync(root=root)

    def refuse(*arguments, **options):
        raise SiteError("book/intro.html was not built.")

    monkeypatch.setattr(make, "build", refuse)
    assert book(root=root, console=console) == 1
    assert "book/intro.html was not built." in console.file.getvalue()
