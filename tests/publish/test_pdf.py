"""The book as a PDF: every page and figure is in it, or there is none."""

from __future__ import annotations

import struct
import unicodedata
import zlib

import pytest

from mmlab.publish.site import pdf

pypdf = pytest.importorskip("pypdf")

PAGE = """<!doctype html><html><head><title>{title} \N{EM DASH} Book</title></head><body><main><article>
<h1>{title}</h1>{body}</article></main></body></html>"""
FOLDED = '<details class="sd-dropdown"><summary>Receipt</summary><p>Peak memory</p></details>'


def png(shade: int) -> bytes:
    """A grey picture of 8 by 8 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([shade] * 8)) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def browser():
    try:
        return pdf.find_browser()
    except pdf.PdfError:
        pytest.skip("no browser")


@pytest.fixture
def book(tmp_path):
    """A site of two pages; the first takes two sheets and has two figures."""
    site = tmp_path / "out" / "site"
    (site / "book").mkdir(parents=True)
    (site / "index.html").write_text("")
    (tmp_path / "_config.yml").write_text("title: Book\nauthor: Us\nhtml:\n  baseurl: https://example.org/book/\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/one\nchapters:\n- file: book/two\n")
    for shade in (50, 200):
        (site / "book" / f"{shade}.png").write_bytes(png(shade))
    figures = '<img src="50.png" alt="dark"><p style="break-after: page">first sheet</p><img src="200.png" alt="light">'
    more = '<a href="two.html#part">next</a> <a href="https://example.org/else">else</a>' + FOLDED
    (site / "book" / "one.html").write_text(PAGE.format(title="One &amp; only", body=figures + more))
    (site / "book" / "two.html").write_text(PAGE.format(title="Two", body="<p>second page</p>"))
    return tmp_path


def test_it_has_every_page_and_figure_in_order(browser, book):
    reader = pypdf.PdfReader(pdf.pdf(book / "book.pdf", root=book))
    text = [unicodedata.normalize("NFKC", sheet.extract_text()) for sheet in reader.pages]  # "fi" may be one letter
    assert len(text) == 3
    assert "first sheet" in text[0]
    assert "Peak memory" in text[1]  # what is folded on the screen is open on paper
    assert "second page" in text[2]
    assert pdf._images(reader) == 2
    assert [entry.title for entry in reader.outline] == ["One & only", "Two"]
    assert reader.metadata.title == "Book"
    links = {note.get_object()["/A"]["/URI"] for sheet in reader.pages for note in sheet.get("/Annots") or ()}
    assert links == {"https://example.org/book/book/two.html#part", "https://example.org/else"}


def test_a_missing_figure_leaves_no_pdf(browser, book):
    (book / "out" / "site" / "book" / "200.png").unlink()
    with pytest.raises(pdf.PdfError, match=r"book/one\.html asks for /book/200\.png, which is not in the site"):
        pdf.pdf(book / "book.pdf", root=book)
    assert not (book / "book.pdf").exists()


def test_a_figure_that_is_not_printed_leaves_no_pdf(browser, book):
    page = book / "out" / "site" / "book" / "one.html"
    page.write_text(page.read_text().replace('alt="light"', 'alt="light" style="display: none"'))
    with pytest.raises(pdf.PdfError, match=r"book/one\.html shows 1 of its 2 figures"):
        pdf.pdf(book / "book.pdf", root=book)


def test_too_few_sheets_leave_no_pdf(book, monkeypatch):
    def blank(browser, address, target, profile):
        writer = pypdf.PdfWriter()
        writer.add_blank_page(100, 100)
        writer.write(target)

    monkeypatch.setattr(pdf, "find_browser", lambda: "browser")
    monkeypatch.setattr(pdf, "_print", blank)
    monkeypatch.setattr(pdf, "_figures", lambda source: 0)
    with pytest.raises(pdf.PdfError, match="2 sheets for 2 pages"):
        pdf.pdf(book / "book.pdf", root=book)
    assert not (book / "book.pdf").exists()


def test_a_browser_that_prints_nothing_is_told(book, tmp_path, monkeypatch):
    tool = tmp_path / "bin" / "chromium"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'cannot open display' >&2\nexit 0\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    with pytest.raises(pdf.PdfError, match=r"chromium did not print .*book/one\.html: cannot open display"):
        pdf.pdf(book / "book.pdf", root=book)


def test_without_a_browser_one_sentence_says_so(book, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(pdf.PdfError, match="it takes Chromium or Chrome"):
        pdf.pdf(book / "book.pdf", root=book)


def test_images_in_scripts_and_outside_the_article_are_no_figures():
    page = """<img src="logo.png"><article><img src="a.png"><img src="a.png"><img src="data:image/png;base64,AA">
    <img src="b.svg"><script type="application/json">{"x": "<img src='c.png'>"}</script></article><img src="d.png">"""
    assert pdf._figures(page) == 2
