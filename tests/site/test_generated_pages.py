"""The generated tables in a real browser: searched, sorted, and still there without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import EXECUTABLE, Browser

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on this machine: its page checks cannot run")

SHOWN = "[...document.querySelectorAll('table.mm-map tbody tr')].filter(row => !row.hidden).length"
TYPE = """(() => {{
    const control = document.querySelector('form.mm-tools {control}');
    control.value = '{value}';
    control.dispatchEvent(new Event('input', {{bubbles: true}}));
}})()"""
COLUMN = "[...document.querySelectorAll('table.mm-sortable tbody tr')].slice(0, 2).map(row => row.cells[{0}].innerText)"
CLICK = "document.querySelectorAll('table.mm-sortable')[0].querySelectorAll('thead button')[{0}].click()"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    with Browser() as running:
        yield running


def test_the_map_is_searched(browser, address):
    browser.open(f"{address}/book/map.html")
    assert browser.evaluate(SHOWN) == 1
    for control, value, count in [
        ("input", "nothing like this", 0),
        ("input", "DRIFT regression", 1),
        ("label:nth-of-type(2) select", "translation", 1),
        ("label:nth-of-type(3) select", "source", 1),
        ("label:nth-of-type(4) select", "source", 0),  # there is no such choice among the outputs
    ]:
        browser.evaluate(TYPE.format(control=control, value=value))
        if control.endswith("(4) select"):
            assert browser.evaluate(f"document.querySelector('form.mm-tools {control}').value") == ""
            continue
        assert browser.evaluate(SHOWN) == count, value
        assert browser.evaluate("document.querySelector('form.mm-tools output').textContent") == f"{count} of 1 shown"


def test_a_table_is_sorted_by_a_heading_and_says_so(browser, address):
    browser.open(f"{address}/book/status.html")
    names = browser.evaluate(COLUMN.format(0))
    assert sorted(names) == ["A rich chapter", "Bridge matching"]
    for order, expected in (("ascending", sorted(names)), ("descending", sorted(names, reverse=True))):
        browser.evaluate(CLICK.format(0))
        assert browser.evaluate(COLUMN.format(0)) == expected
        assert browser.evaluate("document.querySelector('table.mm-sortable th').getAttribute('aria-sort')") == order
    browser.evaluate(CLICK.format(3))
    seconds = [float(value) for value in browser.evaluate(COLUMN.format(3))]
    assert seconds == sorted(seconds)
    assert browser.evaluate("document.querySelectorAll('th[aria-sort]').length") == 1


def test_without_scripts_the_tables_are_plain(browser, address):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=f"{address}/book/map.html")
        browser.wait("document.readyState === 'complete' && location.pathname.endsWith('map.html')")
        assert browser.evaluate("document.querySelectorAll('table.mm-map tbody tr').length") == 1
        assert browser.evaluate("document.querySelector('form.mm-tools')") is None
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize(
    "page",
    ["/book/intro.html", "/book/map.html", "/book/status.html", "/book/parts/translation.html", "/notebooks/rich.html"],
)
def test_a_phone_needs_no_sideways_scrolling(browser, address, page):
    browser.open(address + page, width=390)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    # Captions and words are whole: no cell and no caption holds more than it shows, and none is broken mid-word.
    cut = "e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'hidden'"
    assert (
        browser.evaluate(f"[...document.querySelectorAll('main td, main th, main caption')].filter({cut}).length") == 0
    )
    beyond = "e => e.getBoundingClientRect().right > 391"
    assert browser.evaluate(f"[...document.querySelectorAll('main caption')].filter({beyond}).length") == 0


def test_the_parts_of_the_sidebar_fold(browser, address):
    """With seventy-five chapters the sidebar is as long as the part that the reader is in."""
    browser.open(f"{address}/book/map.html")
    shown = "[...document.querySelectorAll('.bd-sidebar-primary button.mm-part')].map(b => [b.innerText.trim(), {0}])"
    assert dict(browser.evaluate(shown.format("b.getAttribute('aria-expanded')"))) == {
        "Chapters": "false",
        "Reference": "true",
    }
    visible = shown.format("b.closest('p').nextElementSibling.offsetHeight > 0")
    assert dict(browser.evaluate(visible)) == {"Chapters": False, "Reference": True}
    browser.evaluate("document.querySelector('.bd-sidebar-primary button.mm-part').click()")
    assert dict(browser.evaluate(visible)) == {"Chapters": True, "Reference": True}
